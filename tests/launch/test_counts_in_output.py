"""Counts from bytes as they arrive: lines that are cut anywhere, running totals, warm-ups, restarts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.launch.supervise.counts_in_output import LONGEST_PARTIAL_LINE_BYTES, PrintedCounts, PrintedLines
from ipexlaunch.launch.throughput_regex import read_rule


class Counting:
    """Counts by an expression, with a clock that is set by hand."""

    def __init__(self, expression: str) -> None:
        self.now = 0.0
        self.counted = 0
        self.complaints: list[str] = []
        self.counts = PrintedCounts(read_rule(expression), lambda: self.now, self.count, self.complaints.append)

    def count(self) -> None:
        self.counted += 1

    def read(self, *chunks: bytes, end: bool = True) -> list[tuple[float, int, int]]:
        lines = PrintedLines(self.counts)
        for self.now, chunk in enumerate(chunks, start=1):
            lines.add(chunk)
        if end:
            lines.end()
        return self.found()

    def found(self) -> list[tuple[float, int, int]]:
        samples = self.counts.samples
        return list(zip(samples.times, samples.items, samples.tokens, strict=True))


ITEMS = r"did (?P<items>\d+)"


def test_lines_that_are_read_together_are_counted_together_at_that_time() -> None:
    counting = Counting(r"did (?P<items>\d+)(?: with (?P<tokens>\d+))?")
    assert counting.read(b"did 3\nsome\ndid 4 with 9\n", b"nothing\n", b"did 5\n") == [(1.0, 7, 9), (3.0, 5, 0)]
    assert counting.counted == 2


@given(st.lists(st.integers(0, 999), max_size=20), st.integers(1, 9))
def test_it_does_not_matter_where_the_bytes_are_cut(counts: list[int], size: int) -> None:
    data = b"".join(b"did %d \xc3\xa9\n" % count for count in counts)
    counting = Counting(r"did (?P<items>\d+) é$")
    counting.read(*(data[place : place + size] for place in range(0, len(data), size)))
    assert sum(items for _, items, _ in counting.found()) == sum(counts)
    assert counting.counts.matched == bool(counts)


def test_a_line_without_an_end_counts_when_it_ends_or_is_too_long() -> None:
    assert Counting(ITEMS).read(b"did 3", end=False) == []
    assert Counting(ITEMS).read(b"did 3", b"4") == [(2.0, 34, 0)]
    assert Counting(ITEMS).read(b"did 3", b" " * LONGEST_PARTIAL_LINE_BYTES, end=False) == [(2.0, 3, 0)]


def test_a_progress_bars_running_total_counts_what_it_rises_by() -> None:
    counting = Counting(r"(?P<total>\d+)/100 \[")
    bar = [b"\r%3d/100 [#" % done for done in (0, 10, 30, 30, 100)]
    assert counting.read(*bar, b"\n", b"\r  0/100 [", b"\r  5/100 [\n") == [
        (3.0, 10, 0),
        (4.0, 20, 0),
        (6.0, 70, 0),
        (8.0, 5, 0),
    ]


def test_a_rate_is_what_was_said_last_and_counts_nothing() -> None:
    counting = Counting(r"(?P<rate>[\d.]+)/s")
    assert counting.read(b"100.5/s\n", b"120.5/s\n") == []
    assert (counting.counts.claimed_rate, counting.counted) == (120.5, 0)


def test_a_match_without_a_number_is_complained_of_once() -> None:
    counting = Counting(r"did (?P<items>\S+)")
    assert counting.read(b"did many\ndid some\ndid 2\n") == [(1.0, 2, 0)]
    assert counting.complaints == [counting.counts.doubt]
    assert "did many" in counting.counts.doubt


def test_a_doubt_of_the_warm_up_does_not_count() -> None:
    counting = Counting(ITEMS)
    counting.read(b"did 1,000\n")
    counting.counts.begin()
    assert counting.counts.doubt == ""
    counting.read(b"did 2,000\n")
    assert "did 2,000" in counting.counts.doubt


def test_an_expression_that_backtracks_is_given_up_with_its_line() -> None:
    counting = Counting(r"(a+)+b(?P<items>\d+)")
    counting.read(b"aab1\n", b"a" * 4000 + b"\n", b"aab1\n")
    assert counting.found() == [(1.0, 1, 0)]
    assert "takes too long" in counting.counts.doubt
    counting.counts.begin()
    assert "takes too long" in counting.counts.doubt


def test_many_lines_that_take_long_are_given_up_as_one_is() -> None:
    now = iter(range(1000))
    counts = PrintedCounts(read_rule(ITEMS), lambda: 0.0, lambda: None, lambda _: None, lambda: 0.2 * next(now))
    counts.take("did 1\n" * 100)
    assert "takes too long" in counts.doubt
    assert sum(counts.samples.items) < 10


def test_what_is_printed_before_ready_is_the_warm_up() -> None:
    counting = Counting(r"(?P<total>\d+) done")
    assert counting.read(b"10 done\n") == [(1.0, 10, 0)]
    counting.counts.begin()
    assert counting.read(b"10 done\n", b"25 done\n") == [(2.0, 15, 0)]


@pytest.mark.parametrize("takes_part", [True, False])
def test_a_new_attempt_keeps_what_was_measured_and_warms_up_again(takes_part: bool) -> None:
    counting = Counting(ITEMS)
    if takes_part:
        counting.counts.begin()
    counting.read(b"did 1\n")
    counting.counts.begin_attempt()
    counting.read(b"did 20\n")
    if takes_part:
        counting.counts.begin()
    counting.read(b"did 300\n")
    assert sum(items for _, items, _ in counting.found()) == (301 if takes_part else 321)
