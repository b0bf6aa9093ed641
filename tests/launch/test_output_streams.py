import os
import threading
from pathlib import Path

import pytest

from ipexlaunch.launch.background_writer import Outlet, WritingThread
from ipexlaunch.launch.supervise.log_files import LOGS_BACKLOG_BYTES, Log
from ipexlaunch.launch.supervise.output_stream import LONGEST_PARTIAL_LINE_BYTES, Stream


@pytest.fixture
def pipe() -> tuple[int, int]:
    return os.pipe()


def shown(outlet: Outlet, reader: int) -> bytes:
    """Everything that was shown."""
    outlet.wait(None)
    return os.read(reader, 1 << 20)


def test_every_line_is_prefixed_and_partial_lines_wait_for_their_end(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    outlet = Outlet(writer)
    stream = Stream(b"[0] ", outlet, ())
    for chunk in (b"one\ntw", b"o\n", b"\nlast"):
        stream.add(chunk)
    stream.end()
    assert shown(outlet, reader) == b"[0] one\n[0] two\n[0] \n[0] last\n"


def test_a_line_without_end_is_shown_in_pieces(tmp_path: Path) -> None:
    outlet = Outlet(os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT))
    stream = Stream(b"> ", outlet, ())
    stream.add(b"x" * (LONGEST_PARTIAL_LINE_BYTES + 1))
    outlet.wait(None)
    assert (tmp_path / "out").read_bytes() == b"> " + b"x" * (LONGEST_PARTIAL_LINE_BYTES + 1) + b"\n"


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
    stream = Stream(b"[0] ", Outlet(pipe[1]), (), seen)
    for chunk in chunks:
        stream.add(chunk)
    assert seen.last_line == last


def test_the_log_gets_all_that_an_output_does_not_take(pipe: tuple[int, int], tmp_path: Path) -> None:
    thread = WritingThread("logs")
    log = Log(str(tmp_path / "0.log"), pytest.fail, None, thread)
    stream = Stream(b"", Outlet(pipe[1]), (log,))
    for _ in range(8192):
        stream.add(b"y" * 1023 + b"\n")
    log.close()
    assert thread.wait(None)
    assert (tmp_path / "0.log").stat().st_size == 8192 * 1024


def test_a_full_disk_ends_the_log_with_one_complaint() -> None:
    complaints: list[str] = []
    thread = WritingThread("logs")
    log = Log("/dev/full", complaints.append, None, thread)
    log.add(b"a")
    thread.wait(None)
    log.add(b"b")
    thread.wait(None)
    assert complaints == ["/dev/full is no longer written: No space left on device"]


def until(event: threading.Event) -> None:
    event.wait()


def test_a_disk_that_hangs_leaves_gaps_that_the_log_and_the_user_are_told(tmp_path: Path) -> None:
    complaints: list[str] = []
    hangs = threading.Event()
    thread = WritingThread("logs")
    thread.add(lambda _: until(hangs), b"x")
    log = Log(str(tmp_path / "0.log"), complaints.append, None, thread)
    piece = b"z" * (1 << 20)
    for _ in range(2 * LOGS_BACKLOG_BYTES // len(piece)):
        log.add(piece)
    assert complaints == [f"{log.path} lacks output: its disk takes too little"]
    hangs.set()
    thread.wait(None)
    log.add(b"again\n")
    thread.wait(None)
    written = (tmp_path / "0.log").read_bytes()
    assert written.count(b"z") < 2 * LOGS_BACKLOG_BYTES
    missing = 2 * LOGS_BACKLOG_BYTES - written.count(b"z")
    assert written.endswith(f"ipexlaunch: {missing} bytes of output are missing here\nagain\n".encode())
    assert len(complaints) == 1
