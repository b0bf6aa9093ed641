import json
import math
import socket
import threading
from typing import Any

import pytest

from ipexlaunch.launch.run_record import Announced, Samples, Spent
from ipexlaunch.launch.supervise.message_protocol import (
    LONGEST_MESSAGE_BYTES,
    LONGEST_REASON,
    WorkerMessage,
    read_messages,
)
from ipexlaunch.launch.supervise.selector import OutputReader
from ipexlaunch.launch.supervise.worker_process import WorkerProcess


def take(*lines: object) -> tuple[list[WorkerMessage], Samples, Announced]:
    samples, told = Samples(), Announced()
    text = b"".join((json.dumps(line).encode() if not isinstance(line, bytes) else line) + b"\n" for line in lines)
    return read_messages(bytearray(text), samples, told, 7.0), samples, told


def read(*lines: object) -> tuple[list[WorkerMessage], Samples]:
    said, samples, _ = take(*lines)
    return said, samples


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
        {"event": "progress", "items": 1, "time": float("nan")},
        {"event": "progress", "items": [1, 1], "times": [1.0, float("inf")]},
        {"event": "progress", "items": 1, "time": 1_763_733_600.0},
        {"event": "progress", "items": 1, "latency_s": float("nan")},
        {"event": "progress", "items": 1, "latency_s": -0.5},
        {"event": "phase", "name": "loading", "time": 1_763_733_600.0},
        b"\xff\xfe",
        b"[" * 100_000,
        {"event": "phase"},
        {"event": "phase", "name": ""},
        {"event": "phase", "name": " "},
        {"event": "phase", "name": 3},
        {"event": "phase", "name": "two\nlines"},
        {"event": "phase", "name": "x" * 61},
        {"event": "phase", "name": "loading", "time": "now"},
        {"event": "phase", "name": "loading", "time": float("nan")},
        {"event": "samples", "name": "first_token"},
        {"event": "samples", "name": "first_token", "values_s": 0.5},
        {"event": "samples", "name": "first_token", "values_s": [0.5, "1"]},
        {"event": "samples", "name": "first_token", "values_s": [0.5, True]},
        {"event": "samples", "name": "first_token", "values_s": [0.5, -0.5]},
        {"event": "samples", "name": "first_token", "values_s": [0.5, float("nan")]},
        {"event": "samples", "name": "first_token", "values_s": [10**400]},
        {"event": "samples", "values_s": [0.5]},
        {"event": "facts"},
        {"event": "facts", "facts": ["dtype"]},
        {"event": "facts", "facts": {"loss": float("nan")}},
        {"event": "facts", "facts": {"text": "\ud800"}},
        b'{"event":"facts","facts":{"a":' + b"[" * 500 + b"]" * 500 + b"}}",
        {"event": "invalid"},
        {"event": "invalid", "reason": ""},
        {"event": "invalid", "reason": ["cosine 0.2"]},
    ],
)
def test_what_is_no_message_is_a_problem_and_counts_nothing(line: object) -> None:
    said, samples, told = take(line)
    assert said[0].event == ""
    assert said[0].problem
    assert len(samples.times) == 0
    assert told == Announced()


def test_a_phase_is_announced_with_its_own_time_or_that_of_the_reading() -> None:
    said, _ = read({"event": "phase", "name": "loading", "time": 3.5}, {"event": "phase", "name": "compiling"})
    assert said == [
        WorkerMessage("phase", text="loading", time=3.5),
        WorkerMessage("phase", text="compiling", time=7.0),
    ]


def test_a_phase_and_ready_tell_what_the_process_has_cost() -> None:
    said, _ = read(
        {"event": "phase", "name": "loading", "cpu_s": 1.5, "anonymous_bytes": 4096},
        {"event": "ready", "cpu_s": 2},
    )
    assert [message.spent for message in said] == [Spent(1.5, 4096), Spent(2.0)]


@pytest.mark.parametrize(
    "cost", [{"cpu_s": "2"}, {"cpu_s": -1.0}, {"cpu_s": True}, {"cpu_s": float("nan")}, {"cpu_s": 10**400},
             {"cpu_s": 1, "anonymous_bytes": -1}, {"cpu_s": 1, "anonymous_bytes": 0.5}, {"anonymous_bytes": 4096}],
)  # fmt: skip
def test_a_cost_that_is_none_makes_a_worker_no_less_ready(cost: dict[str, object]) -> None:
    said, _ = read({"event": "ready", **cost}, {"event": "phase", "name": "loading", **cost})
    assert [(message.event, message.problem, message.spent) for message in said] == [
        ("ready", "", None), ("phase", "", None)
    ]  # fmt: skip


def test_durations_gather_by_kind() -> None:
    said, _, told = take(
        {"event": "samples", "name": "first_token", "values_s": [0.5, 1]},
        {"event": "samples", "name": "next_token", "values_s": []},
        {"event": "samples", "name": "first_token", "values_s": [0.25]},
    )
    assert [message.event for message in said] == ["samples"] * 3
    assert {name: list(values) for name, values in told.durations_s.items()} == {
        "first_token": [0.5, 1.0, 0.25],
        "next_token": [],
    }


def test_a_later_fact_replaces_an_earlier_one() -> None:
    _, _, told = take(
        {"event": "facts", "facts": {"dtype": "bf16", "notes": ["a"]}}, {"event": "facts", "facts": {"dtype": "fp32"}}
    )
    assert told.facts == {"dtype": "fp32", "notes": ["a"]}


def test_a_reason_is_made_one_line_that_can_be_shown() -> None:
    said, _ = read(
        {"event": "invalid", "reason": "wrong\n answers:\x1b[31m \ud800"}, {"event": "invalid", "reason": "x" * 999}
    )
    assert said[0] == WorkerMessage("invalid", text="wrong answers:?[31m ?")
    assert len(said[1].text) == LONGEST_REASON


def test_an_incomplete_line_waits_for_its_rest() -> None:
    buffer, samples = bytearray(b'{"event":"rea'), Samples()
    assert read_messages(buffer, samples, Announced(), 0.0) == []
    buffer += b'dy"}\n{"ev'
    assert read_messages(buffer, samples, Announced(), 0.0) == [WorkerMessage("ready")]
    assert buffer == b'{"ev'


def test_a_line_without_end_is_dropped() -> None:
    buffer = bytearray(LONGEST_MESSAGE_BYTES + 1)
    (said,) = read_messages(buffer, Samples(), Announced(), 0.0)
    assert said.problem
    assert not buffer


def test_what_a_worker_says_of_its_batches() -> None:
    said, _ = read(
        {"event": "want", "batches": 2},
        {"event": "done", "batch": 7, "results": [1, None], "latency_s": 0.5},
        {"event": "done", "batch": 8, "results": [], "latency_s": -1},
        {"event": "failed", "batch": 9, "reason": "too\nlong"},
        {"event": "failed", "batch": 9},
        {"event": "done", "batch": 9},
    )
    assert said == [
        WorkerMessage("want", number=2),
        WorkerMessage("done", number=7, results=[1, None], latency_s=0.5),
        WorkerMessage("done", number=8, results=[]),
        WorkerMessage("failed", number=9, text="too long"),
        WorkerMessage("failed", number=9, text="gave no reason"),
        WorkerMessage("failed", number=9, text="gave no list of results"),
    ]
    said, _ = read({"event": "want"}, {"event": "done", "batch": -1, "results": []}, {"event": "failed", "batch": "x"})
    assert all(message.problem for message in said)


class Scanned(bytearray):
    """A buffer that counts how often it is looked through."""

    scans = 0

    def rfind(self, *arguments: Any) -> int:
        Scanned.scans += 1
        return super().rfind(*arguments)


def test_a_long_line_is_looked_at_once_however_many_pieces_it_comes_in() -> None:
    ours, theirs = socket.socketpair()
    heard: list[WorkerMessage] = []
    listener = OutputReader((1, 2), lambda _index, said, _now: heard.append(said), lambda: 0.0, 1 << 26)
    child = WorkerProcess(worker=None, channel=ours, buffer=Scanned())  # type: ignore[arg-type]
    ours.setblocking(False)
    listener.selector.register(ours, 1, lambda _: listener._take_messages(0, child))
    line = b'{"event":"done","batch":1,"results":["' + b"x" * (8 << 20) + b'"]}\n'
    sending = threading.Thread(target=theirs.sendall, args=(line,))
    sending.start()
    while not heard:
        listener.wait(10.0)
    sending.join()
    assert len(str(heard[0].results[0])) == 8 << 20
    assert Scanned.scans == 1
    listener.selector.close()
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"event":"done","batch":17,"results":[1,', "Expecting value"),
        (b'{"batch": 17, "event": "done", "results": [{"a":1,"a":2}]}', "the key 'a' twice"),
        (b'{"event":"done","batch":17,"results":[' + b"[" * 100_000, "512 deep"),
        (b'{"event":"done","batch":17,"results":[' + b"7" * 5000 + b"]}", "4300 digits"),
        (b'{"event":"failed","batch":17,"reason":"\xff"}', "utf-8"),
    ],
)
def test_an_answer_that_cannot_be_read_fails_its_batch(line: bytes, reason: str) -> None:
    ((said,), _) = read(line)
    assert (said.event, said.number, said.problem) == ("failed", 17, "")
    assert reason in said.text


def test_an_answer_that_is_too_long_fails_its_batch() -> None:
    line = b'{"event":"done","batch":3,"results":["' + b"x" * 2000
    (said,) = read_messages(bytearray(line), Samples(), Announced(), 7.0, 1000)
    assert (said.event, said.number, said.text) == (
        "failed",
        3,
        "the results cannot be kept: a line of more than 1000 bytes",
    )


def test_what_a_worker_begins_with_is_told() -> None:
    ((said,), _) = read({"event": "begin", "batch": 5})
    assert said == WorkerMessage("begin", number=5)
