"""The checker of batch jobs finds what it is there for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.batch.check_results import problems_of

GOOD: list[object] = [{"id": "a", "number": 0, "result": 2}, {"id": "b", "number": 1, "result": 4}]
LETTER: object = {"id": "b", "number": 1, "value": {"id": "b", "n": 2}, "reason": "no"}


@pytest.mark.parametrize(
    ("results", "dead", "problem"),
    [
        (GOOD, [], []),
        (GOOD[:1], [], ["'b' is lost"]),
        ([*GOOD, GOOD[0]], [], ["'a' is there 2 times"]),
        (GOOD, [LETTER], ["'b' is there 2 times", "'b' was given up"]),
        ([*GOOD, {"id": "c", "number": None, "result": 1}], [], ["'c' is nobody's"]),
        ([GOOD[0], {"id": "b", "number": 1, "result": 5}], [], ["'b' has the wrong result 5"]),
        ([GOOD[0], {"id": "b", "number": 0, "result": 4}], [], ["'b' has the number 0"]),
        (GOOD[:1], [LETTER], ["'b' was given up"]),
    ],
)
def test_it_finds_what_is_wrong(tmp_path: Path, results: list[object], dead: list[object], problem: list[str]) -> None:
    rows: dict[str, list[object]] = {
        "in": [{"id": "a", "n": 1}, {"id": "b", "n": 2}],
        "out": results,
        "out.dead.jsonl": dead,
    }
    for name, values in rows.items():
        (tmp_path / name).write_text("".join(json.dumps(value) + "\n" for value in values))
    assert problems_of(tmp_path / "in", tmp_path / "out", lambda item: 2 * item["n"]) == problem
