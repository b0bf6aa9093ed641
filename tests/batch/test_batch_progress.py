"""What the bar and the lines say of how far a job is: never all of it before it is, never more than is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.batch.input.input_files import InputFile
from ipexlaunch.batch.input.input_rules import InputRules
from ipexlaunch.batch.input.open_items import ItemSource
from ipexlaunch.batch.items import BatchProgress
from ipexlaunch.machine.wording import rendered
from ipexlaunch.report.live.cells import batch_bar, batch_words
from tests.batch.test_batch_command import COUNT, DOUBLE, write_input
from tests.report.live.snapshots import run_of, worker
from tests.report.live.test_real_runs import Terminal


def progress(done: int, expected: int | None, *, exact: bool = False, before: int = 0, dead: int = 0) -> BatchProgress:
    return BatchProgress(done=done, before=before, dead=dead, expected=expected, exact=exact)


RUN = run_of([worker(0)])  # 3,700 s since the common start, 100 items/s


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (progress(0, None), "0 items, 100.0 items/s"),
        (progress(1, None), "1 item, 100.0 items/s"),
        (progress(250, 1000), "25.0% of about 1,000 items, 100.0 items/s, 3:05:00 left"),
        (progress(250, 1000, before=150, exact=True), "25.0% of 1,000 items, 100.0 items/s, 7:42:30 left"),
        (progress(3, 7, dead=2), "42.8% of about 7 items, 100.0 items/s, 1:22:13 left, 2 given up"),
        (progress(2, 1_234_567), "0.0% of about 1,230,000 items, 100.0 items/s, 634429:14:10 left"),
        (progress(1200, 1000), "99.9% of about 1,000 items, 100.0 items/s, 0:00 left"),
        (progress(1000, 1000, exact=True, dead=1), "100.0% of 1,000 items, 1 given up"),
        (progress(0, 0, exact=True), "100.0% of 0 items"),
    ],
)
def test_the_line_says_share_rate_time_and_what_was_given_up(now: BatchProgress, words: str) -> None:
    assert batch_words(now, RUN) == words


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.booleans(), st.integers(1, 200))
def test_the_bar_is_one_line_that_fits(done: int, expected: int, exact: bool, width: int) -> None:
    bar = rendered(batch_bar(progress(done, expected, exact=exact), RUN, width=width), width=width, color=False)
    (line,) = bar.splitlines()
    assert len(line.rstrip()) <= width


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.booleans())
def test_nothing_is_whole_before_it_is(done: int, expected: int, exact: bool) -> None:
    share = progress(done, expected, exact=exact).share
    assert share is not None
    assert (share == 1.0) == (exact and done >= expected)


@pytest.mark.parametrize("form", ["jsonl", "text", "csv"])
def test_the_items_of_a_file_are_expected_by_the_lines_so_far(tmp_path: Path, form: str) -> None:
    path = tmp_path / "in"
    rows = "".join(f'"{"x" * (n * 37 % 90)}"\n' for n in range(60_000))
    path.write_text(rows if form != "csv" else "name\n" + rows)
    source = ItemSource([InputFile(str(path), InputRules(format=form))])  # type: ignore[arg-type]  # three of its words
    items = source.items()
    assert source.expected is None
    next(items)
    assert source.expected == pytest.approx(60_000, rel=0.01)
    list(items)
    assert source.expected == 60_000


def test_the_items_of_parquet_are_known_from_the_first(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "in.parquet"
    parquet.write_table(pyarrow.table({"n": range(100)}), path)
    source = ItemSource([InputFile(str(path), InputRules(format="parquet"))])
    next(source.items())
    assert (source.is_counted, source.expected) == (True, 100)


@pytest.mark.process
def test_a_terminal_shows_the_bar_above_the_workers(tmp_path: Path) -> None:
    write_input(tmp_path, 6000)
    (tmp_path / "program.py").write_text(DOUBLE)
    options = ("--input", "in.jsonl", "--output", "out.jsonl", "--ninstances", COUNT)
    with_bar = Terminal(tmp_path, "batch", *options, "program.py")
    with_bar.until(b"% of 6,000 items, ")
    with_bar.until(b"100.0% of 6,000 items")
    with_bar.until(b"VALID")
    assert with_bar.end() == 0
