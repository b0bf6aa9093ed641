"""The live view as text: golden pictures, and what holds at any size.

After a change on purpose: IPEXLAUNCH_UPDATE_GOLDEN=1 pytest tests/report/live/test_table.py, then read the differences.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ipexlaunch.report.live import wording
from ipexlaunch.report.live.status import Usage
from ipexlaunch.report.live.table import lines_wanted, live_line, live_text
from tests.report.live.snapshots import MIB, eventful, many, run_of, usage, worker

GOLDEN = Path(__file__).parent / "golden"
SIZES = [(80, 24), (160, 50)]


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("IPEXLAUNCH_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("count", [4, 64, 256])
def test_a_quiet_run_is_the_picture_in_its_file(count: int, width: int, height: int) -> None:
    snapshot, usages = many(count)
    check(f"{count}_{width}x{height}.txt", live_text(snapshot, usages, width=width, height=height, title="embed.py"))


@pytest.mark.parametrize(("width", "height"), [*SIZES, (80, 10)])
def test_an_eventful_run_is_the_picture_in_its_file(width: int, height: int) -> None:
    snapshot, usages = eventful()
    text = live_text(snapshot, usages, width=width, height=height, title="embed.py")
    check(f"eventful_{width}x{height}.txt", text)


def test_the_documented_picture_is_drawn() -> None:
    documented = (Path(__file__).parents[3] / "docs/running.md").read_text(encoding="utf-8")
    assert (GOLDEN / "4_80x24.txt").read_text(encoding="utf-8") in documented


def test_a_line_for_where_there_is_no_terminal_has_the_totals() -> None:
    assert live_line(*many(2)) == (
        "1:02:34  total 201.0 items/s  2 running  27.8/28 cpus busy  99.6% local  3,000 items  1.3G memory"
    )
    assert live_line(*eventful()) == (
        "1:02:34  total 1.2M items/s  "
        "1 waiting, 1 compiling for 41 s, 1 ready, 3 running, 1 finished, 1 exited, 1 stopped, 1 failed  "
        "69.6/126 cpus busy  at least 50.0% local  1,234,600,890 items  3.2G memory"
    )


def test_a_program_that_counts_nothing_has_no_rate() -> None:
    assert live_line(run_of([worker(0, phase="starting", items=0, rate=None, local_pages=None)]), {}) == (
        "1:02:34  1 started"
    )


def test_what_workers_announce_is_counted_with_the_longest_time_and_stands_before_the_last_line() -> None:
    names = ["compiling", "waiting for compilation", "waiting for compilation", ""]
    workers = [
        worker(index, phase="starting", items=0, rate=None, busy_with=name, busy_s=10.0 + index if name else None)
        for index, name in enumerate(names)
    ]
    assert live_line(run_of(workers), {}).startswith(
        "1:02:34  1 compiling for 10 s, 2 waiting for compilation for 12 s, 1 started"
    )
    rows = live_text(run_of(workers), {}, width=160).splitlines()
    assert "  compiling, 10 s: epoch 3/10 loss" in rows[3]
    assert "  waiting for compilation, 11 s: green text" in rows[4]
    assert wording.line_text(replace(workers[1], last_line="")) == "waiting for compilation, 11 s"


@given(st.integers(1, 300), st.integers(20, 220), st.integers(3, 60), st.booleans())
def test_no_picture_is_larger_than_its_terminal(count: int, width: int, height: int, used: bool) -> None:
    snapshot, usages = many(count)
    lines = live_text(snapshot, usages if used else {}, width=width, height=height, title="a" * 300).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= max(height, 4)


@given(st.integers(40, 200), st.floats(0, 1e7), st.floats(0, 1e7), st.floats(0, 14.04), st.integers(0, 2 << 40))
def test_columns_stay_where_they_are_whatever_the_figures(
    width: int, rate: float, other: float, busy: float, memory: int
) -> None:
    def picture(rate: float, used: Usage) -> str:
        snapshot = run_of([worker(0, rate=rate), worker(1)])
        return live_text(snapshot, {0: used, 1: usage(1)}, width=width).splitlines()[2]

    first = picture(rate, usage(0, busy_cpus=busy, memory={0: memory, 1: 3 * MIB}))
    assert first == picture(other, usage(0))


@given(st.integers(2, 300), st.integers(60, 300), st.integers(4, 80))
def test_rows_stand_side_by_side_where_their_columns_fit_and_everybody_has_one(
    count: int, width: int, height: int
) -> None:
    snapshot, usages = many(count)
    lines = live_text(snapshot, usages, width=width, height=height).splitlines()
    tables = lines[2].count("phase  ")
    if "instance," in lines[2]:
        return  # cells
    rows = [line for line in lines[3:] if line.strip()]
    assert sum(line.count("running") for line in rows) == count
    assert len(rows) == -(-count // tables)
    assert len(lines) <= height
    starts = [row[: len(str(count - 1))].strip() for row in rows]
    assert starts == [str(index) for index in range(len(rows))], "read downwards"


def test_a_wide_terminal_shows_many_workers_in_tables_and_a_narrow_one_in_cells() -> None:
    snapshot, usages = many(64)

    def names(width: int, height: int) -> str:
        return live_text(snapshot, usages, width=width, height=height).splitlines()[2]

    assert names(200, 58).count("last line") == 2
    assert names(100, 28).startswith("instance,")


@pytest.mark.parametrize(("width", "height"), [(80, None), (40, 12)])
def test_who_has_less_local_memory_than_the_run_asks_for_is_marked_and_nobody_else(
    width: int, height: int | None
) -> None:
    snapshot, usages = many(20)
    usages[3] = usage(3, memory={1: 80, 0: 20})

    def marks(required: float) -> int:
        text = live_text(snapshot, usages, width=width, height=height, color=True, local_share_required=required)
        return text.count("\x1b[1;31m")

    assert (marks(0.8), marks(0.81)) == (0, 1)


def test_the_mark_of_a_cell_is_explained_by_what_the_run_asks_for() -> None:
    snapshot, usages = many(20)
    text = live_text(snapshot, usages, width=100, height=7, local_share_required=0.997)
    assert "! less than 99.7% local" in text
    assert text.count("%!") == 20


def test_a_worker_that_was_asked_to_end_has_not_failed() -> None:
    stopped = worker(0, phase="exited", exit_code=143, stopped=True, pid=None)
    failed = worker(1, phase="exited", exit_code=143, pid=None)
    text = live_text(run_of([stopped, failed]), {}, width=80, color=True)
    first, second = text.splitlines()[3:]
    assert ("stopped" in first, "exit" in first, "\x1b[31m" in first) == (True, False, False)
    assert ("exit 143" in second, "\x1b[31m" in second) == (True, True)
    assert "1 stopped, 1 failed" in text


def test_the_lines_that_are_wanted_are_those_that_are_drawn() -> None:
    for snapshot, usages in (many(5), eventful()):
        assert len(live_text(snapshot, usages, width=100).splitlines()) == lines_wanted(snapshot)


@given(st.text(st.characters(codec=None), max_size=200))
def test_no_last_line_moves_the_cursor(text: str) -> None:
    shown = wording.plain_line(text)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert wording.plain_line(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;32mdone\x1b[0m", "done"),
        ("\x1b]8;;http://a.b\x1b\\link\x1b]8;;\x1b\\", "link"),
        (" 10%|#  |\r100%|###|\r", "100%|###|"),
        (" 20%|#    |", "20%|#    |"),
        ("a\tb\x00c\x7f", "a bc"),
        ("\x1b(Bplain \x1b=text\x1b", "plain text"),
        ("\x1b]0;a title without end", ""),
        ("\udcff\udc80", "\N{REPLACEMENT CHARACTER}" * 2),
        ("\u202edesrever", "desrever"),
        ("two\u2028lines", "two lines"),
        ("", ""),
    ],
)
def test_a_last_line_is_what_a_reader_would_see(text: str, shown: str) -> None:
    assert wording.plain_line(text) == shown


@given(st.floats(0, 1e14))
def test_a_figure_fits_its_column(value: float) -> None:
    assert len(wording.short_number(value)) <= 6


@given(st.integers(0, 1 << 59))
def test_a_size_fits_its_column(value: int) -> None:
    assert len(wording.size(value)) <= 4


def test_sizes_are_binary_with_two_digits_at_least() -> None:
    amounts = [0, 999 * MIB, 1000 * MIB, 1200 * MIB, 10 << 30, 999 << 30, 1 << 40, 20 << 40]
    assert [wording.size(amount) for amount in amounts] == ["0M", "999M", "1.0G", "1.2G", "10G", "999G", "1.0T", "20T"]


def test_figures_have_three_digits_at_least() -> None:
    values = [None, 0, 0.1234, 1.234, 12.34, 999.94, 999.96, 123456.7, 1.5e6, 2.5e10]
    assert [wording.short_number(value) for value in values] == [
        "-", "0", "0.123", "1.23", "12.3", "999.9", "1000", "123457", "1.5M", "25.0G",
    ]  # fmt: skip


def test_a_share_is_never_rounded_up_to_all() -> None:
    assert [wording.share_text(share) for share in (None, 0.0, 0.5, 0.99999, 1.0)] == [
        "-", "0.0%", "50.0%", "99.9%", "100%",
    ]  # fmt: skip
