"""Outputs that nobody waits for: what is taken slowly, not at all, or fails."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from ipexlaunch.launch.background_writer import SHOWN_BACKLOG_BYTES, Outlet, WritingThread, outlets_of


@pytest.fixture
def pipe() -> tuple[int, int]:
    return os.pipe()


def read_all(reader: int, size: int) -> bytes:
    shown = b""
    while len(shown) < size:
        shown += os.read(reader, 1 << 20)
    return shown


def test_what_is_added_is_written_in_order_however_it_is_cut(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    outlet = Outlet(descriptor)
    parts = [b"%d " % number * (number % 7000) for number in range(400)]
    for part in parts:
        outlet.add(part, whole=True)
    outlet.wait(None)
    assert (tmp_path / "out").read_bytes() == b"".join(parts)
    assert outlet.problem == ""


def test_what_nobody_takes_is_bounded_and_said_later(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    outlet = Outlet(writer)
    line = b"y" * 1023 + b"\n"
    count = 2 * SHOWN_BACKLOG_BYTES // len(line)
    for _ in range(count):
        outlet.add(line)
    shown = b""
    while outlet.thread.waiting_bytes:
        shown += os.read(reader, 1 << 20)
    outlet.add(b"again\n")
    while not shown.endswith(b"again\n"):
        shown += os.read(reader, 1 << 20)
    missing = count - shown.count(line)
    assert 0 < missing * 1024 <= count * 1024 - SHOWN_BACKLOG_BYTES + 65536
    told = re.findall(
        r"^ipexlaunch: (\d+) bytes of output are not shown here \(--log-dir keeps them\)$", shown.decode(), re.M
    )
    assert sum(map(int, told)) == missing * 1024  # in several parts where the reader was quick in between
    assert shown.endswith(b"keeps them)\nagain\n") or len(told) > 1
    assert outlet.problem == ""


def test_what_was_left_out_last_is_said_at_the_end(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    outlet = Outlet(writer)
    for _ in range(3):
        outlet.add(b"z" * (SHOWN_BACKLOG_BYTES - 1) + b"\n")
    waiting = threading.Thread(target=outlet.wait, args=(60.0,))
    waiting.start()
    shown = b""
    while not shown.endswith(b"not shown here\n"):
        shown += os.read(reader, 1 << 20)
    waiting.join()
    assert f"{2 * SHOWN_BACKLOG_BYTES} bytes" in shown[-100:].decode()


def test_waiting_ends_when_nothing_is_taken_and_that_is_a_problem(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    outlet = Outlet(writer)
    outlet.add(b"z" * (1 << 20))
    outlet.wait(0.05)
    assert outlet.problem == "it took nothing for 0.05 s"
    outlet.add(b"more")
    outlet.wait(None)


def test_a_slow_reader_is_waited_for(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    outlet = Outlet(writer)
    outlet.add(b"z" * (1 << 20), whole=True)
    sizes: list[int] = []
    taking = threading.Thread(target=lambda: sizes.append(len(read_all(reader, 1 << 20))))
    taking.start()
    outlet.wait(None)
    taking.join()
    assert sizes == [1 << 20]


@pytest.mark.parametrize(("path", "problem"), [("/dev/full", "No space left on device"), ("", "Broken pipe")])
def test_a_failure_is_kept_and_ends_the_output_alone(pipe: tuple[int, int], path: str, problem: str) -> None:
    reader, writer = pipe
    os.close(reader)
    outlet = Outlet(os.open(path, os.O_WRONLY) if path else writer)
    outlet.add(b"line\n")
    outlet.wait(None)
    assert outlet.problem == problem
    outlet.add(b"line\n")
    outlet.wait(None)
    assert outlet.thread.waiting_bytes == 0


def test_an_output_that_another_program_made_non_blocking_gets_all(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    outlet = Outlet(writer)
    outlet.add(b"z" * (1 << 20), whole=True)
    assert len(read_all(reader, 1 << 20)) == 1 << 20
    outlet.wait(None)
    assert outlet.problem == ""


def test_two_descriptors_of_one_file_stand_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    first, second = outlets_of(writer, os.dup(writer))
    for number in range(100):
        (first if number % 3 else second).add(b"%d\n" % number)
    first.wait(None)
    assert os.read(reader, 1 << 16).split() == [b"%d" % number for number in range(100)]


def test_two_files_do_not_wait_for_each_other(pipe: tuple[int, int], tmp_path: Path) -> None:
    file = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    stuck, free = outlets_of(pipe[1], file)
    stuck.add(b"z" * (1 << 20))
    free.add(b"line\n")
    free.wait(None)
    assert (tmp_path / "out").read_bytes() == b"line\n"


def until(event: threading.Event) -> None:
    event.wait()


def test_nobody_waits_for_a_place_that_hangs() -> None:
    hangs = threading.Event()
    thread = WritingThread("test", piece_bytes=4)
    assert thread.add(lambda _: until(hangs), b"1234", most=10)
    assert thread.add(lambda _: None, b"5678", most=10)
    assert not thread.add(lambda _: None, b"9012", most=10)
    assert not thread.wait(0.05)
    hangs.set()
    assert thread.wait(None)
