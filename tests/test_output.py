import os
from pathlib import Path

import pytest

from ipexlaunch.supervise.output import LONGEST_PARTIAL_LINE_BYTES, SHOWN_BACKLOG_BYTES, Display, Log, Stream


@pytest.fixture
def pipe() -> tuple[int, int]:
    return os.pipe()


def show(display: Display) -> None:
    while display.waiting:
        display.write()


def test_every_line_is_prefixed_and_partial_lines_wait_for_their_end(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    display = Display(writer)
    stream = Stream(b"[0] ", display, None)
    for chunk in (b"one\ntw", b"o\n", b"\nlast"):
        stream.add(chunk)
    stream.end()
    show(display)
    assert os.read(reader, 1000) == b"[0] one\n[0] two\n[0] \n[0] last\n"


def test_a_line_without_end_is_shown_in_pieces(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    display = Display(writer)
    stream = Stream(b"> ", display, None)
    stream.add(b"x" * (LONGEST_PARTIAL_LINE_BYTES + 1))
    shown = b""
    while display.waiting:
        display.write()
        shown += os.read(reader, 1 << 20)
    assert shown == b"> " + b"x" * (LONGEST_PARTIAL_LINE_BYTES + 1) + b"\n"


class Last:
    last_line = ""


@pytest.mark.parametrize(
    ("chunks", "last"),
    [
        ([b"one\n", b"two\n"], "two"),
        ([b"one\n", b"loading ..."], "loading ..."),
        ([b"one\n", b"\r 10%|#  |", b"\r 50%|## |"], " 50%|## |"),
        ([b"\r 10%|#  |\r 20%|#  |\r", b"    \r"], " 20%|#  |"),
        ([b"bar " * 200 + b"\r", b"100%\n"], "100%"),
        ([b"\r 99%", b"\r100%\n", b"\n"], "100%"),
        ([b"one\r\n"], "one"),
        ([b"one\n", b"  \n"], "one"),
        ([b"x" * 10_000], "x" * 500),
    ],
)
def test_the_last_line_is_what_a_terminal_shows_last(pipe: tuple[int, int], chunks: list[bytes], last: str) -> None:
    seen = Last()
    stream = Stream(b"[0] ", Display(pipe[1]), None, seen)
    for chunk in chunks:
        stream.add(chunk)
    assert seen.last_line == last


def test_what_nobody_reads_is_bounded_and_said_so_while_the_log_gets_all(pipe: tuple[int, int], tmp_path: Path) -> None:
    reader, writer = pipe
    display = Display(writer)
    log = Log(str(tmp_path / "0.log"), pytest.fail)
    stream = Stream(b"", display, log)
    line = b"y" * 1023 + b"\n"
    count = 2 * SHOWN_BACKLOG_BYTES // len(line)
    for _ in range(count):
        stream.add(line)
    log.close()
    shown = b""
    while display.waiting:
        display.write()
        shown += os.read(reader, 1 << 20)
    stream.add(b"again\n")
    while display.waiting:
        display.write()
        shown += os.read(reader, 1 << 20)
    assert len(shown) <= SHOWN_BACKLOG_BYTES + 200
    assert f"{count * 1024 - SHOWN_BACKLOG_BYTES} bytes of output are not shown" in shown.decode()
    assert shown.endswith(b"again\n")
    assert (tmp_path / "0.log").stat().st_size == count * 1024


def test_a_reader_that_is_gone_ends_the_display_and_nothing_else(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    display = Display(writer)
    stream = Stream(b"", display, None)
    stream.add(b"line\n")
    show(display)
    assert display.closed
    stream.add(b"line\n")
    assert not display.waiting


def test_a_full_disk_ends_the_log_with_one_complaint() -> None:
    complaints: list[str] = []
    log = Log("/dev/full", complaints.append)
    log.write(b"a")
    log.write(b"b")
    assert complaints == ["/dev/full is no longer written: No space left on device"]


def test_a_flush_gives_up_when_nothing_is_taken(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    display = Display(writer)
    for _ in range(1000):
        display.add(b"z" * 1024)
    display.flush(0.05)
    assert display.waiting
