"""What stands for an input when a model is measured and calibrated: its first texts, whatever its format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ipexlaunch.batch.input.first_texts import FIRST_TEXTS, first_texts
from ipexlaunch.batch.input.input_files import InputFile, format_of
from ipexlaunch.batch.input.input_rules import InputRules
from ipexlaunch.batch.input.open_items import ItemSource


def texts_of(path: Path, **rules: Any) -> list[str]:
    form = rules.pop("format", None) or format_of(str(path), "auto")
    source = ItemSource([InputFile(str(path), InputRules(format=form, **rules))])
    return first_texts(source.items(keep_bad=True))


def request(number: int, url: str, **body: object) -> str:
    row = {"custom_id": f"r{number}", "method": "POST", "url": url, "body": {"model": "m", **body}}
    return json.dumps(row)


def test_the_first_of_many_each_on_one_line(tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_text("".join(json.dumps({"n": n, "body": f"text {n}\n of\u2028 two lines"}) + "\n" for n in range(300)))
    found = texts_of(given, text_field="body", id_field="n", text_only=True)
    assert found == [f"text {n} of two lines" for n in range(FIRST_TEXTS)]


def test_rows_without_a_text_are_passed_over_and_end_nothing(tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_text('{"body": "one"}\nnot JSON\n{"other": 1}\n{"body": 7}\n{"body": "  "}\n{"body": "two"}\n')
    assert texts_of(given, text_field="body", text_only=True) == ["one", "two"]
    (tmp_path / "in.csv").write_text('id,body\n1,"a, b"\n2,c\n')
    assert texts_of(tmp_path / "in.csv", text_field="body", text_only=True) == ["a, b", "c"]
    (tmp_path / "in.txt").write_text("")
    assert texts_of(tmp_path / "in.txt", text_only=True) == []


def test_requests_of_a_batch_file_give_what_they_ask_of_the_model(tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    lines = (
        request(1, "/v1/embeddings", input=["one", "two"]),
        request(2, "/v1/embeddings", input=[[1, 2, 3]]),
        request(3, "/v1/chat/completions", messages=chat, max_tokens=9),
        request(4, "/v1/completions", prompt="Once upon a time", max_tokens=9),
        request(5, "/v1/images", prompt="no text"),
    )
    given.write_text("".join(f"{line}\n" for line in lines))
    assert texts_of(given, format="openai", id_field="custom_id") == [
        "one", "two", "Be brief. Why?", "Once upon a time"
    ]  # fmt: skip
