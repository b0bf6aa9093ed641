"""`ipexlaunch batch` over several files at once."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.batch.check_results import rows_of
from tests.batch.test_batch_formats import run

pytestmark = pytest.mark.process


def test_a_quoted_pattern_and_further_files_are_one_job(tmp_path: Path) -> None:
    for part in range(3):
        text = "".join(f'"{part}-{n}"\n' for n in range(20))
        (tmp_path / f"part-{part}.jsonl").write_text(text)
    (tmp_path / "more.txt.gz").write_bytes(gzip.compress(b"last\n\xff\n"))
    words = ("--input", "part-*.jsonl", "--input", "more.txt.gz", "--output", "out.jsonl", "--keep-order")
    code, _, said = run(tmp_path, *words, "--on-bad-line", "dead-letter")
    assert code == 4, said
    assert "line 2 of more.txt.gz gives no item: it is not UTF-8" in said
    rows = rows_of(tmp_path / "out.jsonl")
    assert [row["number"] for row in rows] == list(range(61))
    expected = [f"part-{part}.jsonl:{line}" for part in range(3) for line in range(1, 21)]
    assert [row["id"] for row in rows] == [*expected, "more.txt.gz:1"]
    assert [row["result"]["given"] for row in rows[:2]] == ["0-0", "0-1"]
    (letter,) = rows_of(tmp_path / "out.jsonl.dead.jsonl")
    assert (letter["id"], letter["file"], letter["line"]) == ("more.txt.gz:2", "more.txt.gz", 2)
    # It is gone on with only over the same files.
    code, _, said = run(tmp_path, *words, "--resume")
    assert (code, "all 62 items are done already" in said) == (4, True)
    (tmp_path / "part-3.jsonl").write_text("1\n")
    code, _, said = run(tmp_path, *words, "--resume")
    assert code == 2
    assert "it is not the same any more: input files was [" in said
    assert len(said) < 1500
    (tmp_path / "part-3.jsonl").unlink()
    (tmp_path / "more.txt.gz").write_bytes(gzip.compress(b"last\nmended\n"))
    code, _, said = run(tmp_path, *words, "--retry-dead")
    assert code == 2
    assert "input file more.txt.gz bytes was" in said
    for wrong, told in (("part-?.csv", "no file has a name like that"), ("part-0.jsonl", "it is named twice")):
        code, _, said = run(tmp_path, "--input", "part-*.jsonl", "--input", wrong, "--output", "new.jsonl")
        assert (code, len(said.splitlines())) == (2, 1)
        assert told in said
