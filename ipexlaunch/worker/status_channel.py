"""The status channel: how a worker's counts and lines get to the launcher, and its commands back.

Like ipexlaunch.worker it needs nothing but the standard library of Python 3.6.
"""

import json
import os
import stat
from collections import deque
from select import POLLIN, poll
from threading import Lock, RLock, get_ident
from typing import Any

from ipexlaunch.worker import template

READ_BYTES = 1 << 16


class StatusChannel:
    """The line to the launcher, and what was counted: one per process, shared by its threads and signal handlers.

    Nothing here waits for a lock that the interrupted code of a signal handler may hold: counts and lines are put into
    queues (whose append is one step), and whoever finds the sending free sends all that is there.
    """

    def __init__(self) -> None:
        self.descriptor = _descriptor()
        self.unread = bytearray()
        self.started: float | None = None
        self.last = 0.0
        self.flushed = 0.0
        self.items = 0
        self.tokens = 0
        self.over = False
        self.forked = False
        self.counts: deque[tuple[float, int, int, float]] = deque()
        """Counted and not sent: time, items, tokens, latency."""
        self.lines: deque[bytes] = deque()
        """To be written."""
        self.rest = memoryview(b"")
        """Of the line that is being written."""
        self.counting = RLock()
        """Between "is it over?" and the count; entered again by a signal handler."""
        self.writing = Lock()
        self.gathering = Lock()
        self.gatherer = 0
        """The thread that does that now; 0 for none."""
        self.pid = os.getpid()

    def here(self) -> "StatusChannel":
        """The same, and made a forked child's where it is called in one.

        What the parent has not sent yet is the parent's, and its locks may be held for ever.
        """
        if os.getpid() != self.pid:
            self.in_child()
        return self

    def in_child(self) -> None:
        """Start over in a forked child."""
        self.pid, self.forked = os.getpid(), True
        self.items = self.tokens = 0
        self.counts.clear()
        self.lines.clear()
        self.rest = memoryview(b"")
        self.counting, self.writing, self.gathering, self.gatherer = RLock(), Lock(), Lock(), 0

    def send(self, **event: object) -> None:
        """Write one message; a launcher that is gone is nothing to complain about, its end ends us."""
        if self.descriptor is not None:
            self.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")
        elif template.mode():
            template.keep(event)

    def write(self, line: bytes) -> None:
        """Write one line, all of it, and no other in the middle of it; or leave it to the thread that is writing."""
        self.here().lines.append(line)
        while self.lines and self.descriptor is not None and self.writing.acquire(blocking=False):
            try:
                while self.rest or self.lines:
                    if not self.rest:
                        self.rest = memoryview(self.lines.popleft())
                    self.rest = self.rest[os.write(self.descriptor, self.rest) :]
            except (BrokenPipeError, ConnectionResetError):
                self.descriptor = None
            finally:
                self.writing.release()

    def wait_for(self, command: str) -> bool:
        """Block until the launcher sends this command; False where it is gone."""
        message = self.next_command()
        while message is not None and message.get("command") != command:
            message = self.next_command()
        return message is not None

    def next_command(self) -> "dict[str, Any] | None":
        """Block until the launcher sends a command; None where it is gone."""
        line = self.next_line()
        message: dict[str, Any] | None = json.loads(line) if line else None
        return message

    def has_command(self) -> bool:
        """Whether `next_command` need not wait: something has come, or the launcher is gone."""
        if self.descriptor is None or b"\n" in self.unread:
            return True
        looking = poll()
        looking.register(self.descriptor, POLLIN)
        return bool(looking.poll(0))

    def next_line(self) -> bytes:
        """Block until there is a whole line; b"" where the launcher is gone.

        No file object, which would have to be closed, and could not be while another thread reads.
        """
        descriptor = self.descriptor
        if descriptor is None:
            return b""
        end = self.unread.find(b"\n")
        while end < 0:
            searched = len(self.unread)
            received = os.read(descriptor, READ_BYTES)
            if not received:
                return b""
            self.unread += received
            end = self.unread.find(b"\n", searched)
        line = bytes(self.unread[: end + 1])
        del self.unread[: end + 1]
        return line

    def flush(self, *, last: bool = False) -> None:
        """Take the counts that have gathered into the totals and send them, unless another thread does that now.

        Args:
            last: wait for that thread; a signal handler cannot wait for what it interrupted.
        """
        while self.counts or last:
            if not self.gathering.acquire(blocking=last and self.gatherer != get_ident()):
                return
            try:
                self.gatherer = get_ident()
                last = False
                rows = [self.counts.popleft() for _ in range(len(self.counts))]
                if not rows:
                    return
                times, items, tokens, latencies = map(list, zip(*rows))  # noqa: B905 - before Python 3.10
                self.items += sum(items)
                self.tokens += sum(tokens)
                child = {"child": True} if self.forked else {}
                self.send(event="progress", times=times, items=items, tokens=tokens, latencies_s=latencies, **child)
            finally:
                self.gatherer = 0
                self.gathering.release()


def _descriptor() -> "int | None":
    """The descriptor to the launcher, or None: not under ipexlaunch, or a child that did not inherit it.

    A child process has the variable but, with close_fds, not the descriptor, and may have another file under its
    number; so the inode is compared too.
    """
    number = os.environ.get("IPEXLAUNCH_STATUS_FD", "")
    if not number.isdecimal():
        return None
    try:
        found = os.fstat(int(number))
    except OSError:
        return None
    same = str(found.st_ino) == os.environ.get("IPEXLAUNCH_STATUS_INODE", "")
    return int(number) if stat.S_ISSOCK(found.st_mode) and same else None
