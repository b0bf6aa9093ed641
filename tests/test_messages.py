import json
import math

import pytest

from ipexlaunch.samples import Samples
from ipexlaunch.supervise.messages import LONGEST_MESSAGE_BYTES, Said, read_messages


def read(*lines: object) -> tuple[list[Said], Samples]:
    samples = Samples()
    text = b"".join((json.dumps(line).encode() if not isinstance(line, bytes) else line) + b"\n" for line in lines)
    return read_messages(bytearray(text), samples, 7.0), samples


def test_announcements_come_in_order() -> None:
    said, _ = read({"event": "ready"}, {"event": "progress", "items": 1}, {"event": "finished"})
    assert [message.event for message in said] == ["ready", "progress", "finished"]


def test_a_count_without_a_time_gets_that_of_the_reading() -> None:
    _, samples = read({"event": "progress", "items": 3, "tokens": 9})
    assert (samples.times[0], samples.items[0], samples.tokens[0]) == (7.0, 3, 9)
    assert math.isnan(samples.latencies_s[0])


def test_counts_come_in_columns_too() -> None:
    _, samples = read({"event": "progress", "times": [1.0, 2.0], "items": [3, 4], "latencies_s": [0.5, 0.25]})
    assert list(samples.times) == [1.0, 2.0]
    assert list(samples.items) == [3, 4]
    assert list(samples.tokens) == [0, 0]
    assert list(samples.latencies_s) == [0.5, 0.25]


@pytest.mark.parametrize(
    "line",
    [
        b"hello",
        b"[1]",
        b"null",
        {"event": "gone"},
        {"items": 3},
        {"event": "progress", "items": -1},
        {"event": "progress", "items": True},
        {"event": "progress", "items": 1.5},
        {"event": "progress", "items": [1, 2], "tokens": [1]},
        {"event": "progress", "items": [1, "2"]},
        {"event": "progress", "items": 1, "time": "now"},
        {"event": "progress", "items": 10**30},
        b"\xff\xfe",
    ],
)
def test_what_is_no_message_is_a_problem_and_counts_nothing(line: object) -> None:
    said, samples = read(line)
    assert said[0].event == ""
    assert said[0].problem
    assert len(samples.times) == 0


def test_an_incomplete_line_waits_for_its_rest() -> None:
    buffer, samples = bytearray(b'{"event":"rea'), Samples()
    assert read_messages(buffer, samples, 0.0) == []
    buffer += b'dy"}\n{"ev'
    assert read_messages(buffer, samples, 0.0) == [Said("ready")]
    assert buffer == b'{"ev'


def test_a_line_without_end_is_dropped() -> None:
    buffer = bytearray(LONGEST_MESSAGE_BYTES + 1)
    (said,) = read_messages(buffer, Samples(), 0.0)
    assert said.problem
    assert not buffer
