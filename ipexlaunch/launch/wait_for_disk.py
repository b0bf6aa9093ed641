"""Have a disk do something in a thread of its own: one that hangs holds up neither workers, nor limits, nor signals.

A write, sync, rename or look at a file that hangs (a server that is away, a device that does not answer) keeps the
thread that made it waiting, and no signal but SIGKILL changes that. So nobody else waits there, and who is asked to end
leaves the thread behind: it ends with the process.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from ipexlaunch.documents.write_file import write_file
from ipexlaunch.errors import IpexLaunchError

LOOK_S = 0.1
"""Between two looks at who is asked to end while something is waited for."""

NOTICE_S = 10.0
"""After so long without an answer the user is told."""

LET_GO_S = 5.0
"""How long what need not be done may take."""

AFTERWARDS_S = 1.0
"""How long anything else may hang where something has: it is the same disk, most likely."""

Result = TypeVar("Result")


class HungDiskError(IpexLaunchError):
    """What was to be written or looked at has not answered, and somebody asked for the end."""


class DiskThread:
    """Does one thing after the other; whoever begins something goes on meanwhile and takes the answer later."""

    def __init__(self) -> None:
        """Start the thread; it inherits the cpus that the calling thread is held to (see `BackgroundThread`)."""
        self.wanted = ""
        """What is done now, as a phrase that follows "cannot"."""
        self.hint = ""
        """What would work where it hangs."""
        self.busy = False
        """Whether something was begun whose answer nobody has taken."""
        self._acts: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._answers: deque[tuple[Any, Exception | None]] = deque()
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poller = select.poll()
        self._poller.register(self._reading, select.POLLIN)
        self._seen = 0.0, 0.0
        """How long the thread had worked when it was last looked at, and until when it had then."""
        thread = threading.Thread(target=self._run, name="ipexlaunch-disk", daemon=True)
        thread.start()
        self._cpu_clock = time.pthread_getcpuclockid(thread.ident or 0)

    def fileno(self) -> int:
        """Is readable while there is an answer that nobody has taken."""
        return self._reading

    def begin(self, act: Callable[[], object], wanted: str, hint: str = "") -> None:
        """Have something done; the answer to what was begun before has been taken.

        Args:
            act: what.
            wanted: as a phrase that follows "cannot", for the message where it hangs.
            hint: what would work then.
        """
        self.busy, self.wanted, self.hint = True, wanted, hint
        self._seen = time.clock_gettime(self._cpu_clock), time.monotonic()
        self._acts.put(act)

    @property
    def answered(self) -> bool:
        """Whether `take` has something to give."""
        return self.busy and self.answers(0.0)

    def answers(self, within_s: float) -> bool:
        """Whether there is an answer within so many seconds; signal handlers run meanwhile."""
        return bool(self._poller.poll(within_s * 1000))

    def take(self) -> Any:
        """What the act gave.

        Raises:
            Exception: what it raised.
        """
        os.read(self._reading, 1)
        self.busy = False
        given, error = self._answers.popleft()
        if error is not None:
            raise error
        return given

    def silent_s(self) -> float:
        """For how long nothing has come back from the disk, in seconds: the thread has done nothing since.

        What it did between two calls it may have done just now: who wants to know calls this once a second.
        """
        worked, now = time.clock_gettime(self._cpu_clock), time.monotonic()
        if worked != self._seen[0]:
            self._seen = worked, now
        return now - self._seen[1]

    def end(self) -> None:
        """Let the thread go once it has nothing to do; every answer has been taken."""
        self._acts.put(None)

    def _run(self) -> None:
        for act in iter(self._acts.get, None):
            try:
                self._answers.append((act(), None))
            except Exception as error:  # the thread's boundary: it is raised where the answer is taken
                self._answers.append((None, error))
            os.write(self._writing, b"\0")
        os.close(self._writing)
        os.close(self._reading)


@dataclass(slots=True)
class DiskPatience:
    """How long a disk may hang: as long as it takes, or so many seconds once the end was asked for."""

    grace_s: float
    """How long nothing may come back from it once the end is asked for."""
    is_asked: Callable[[], bool]
    """Whether it is."""
    tell: Callable[[str], None]
    """Says a line to the user."""

    def wait(self, disk: DiskThread) -> None:
        """Return once there is an answer.

        Args:
            disk: does something.

        Raises:
            HungDiskError: there is none, and the patience is over.
        """
        told = False
        while not disk.answers(LOOK_S):
            asked, silent_s = self.is_asked(), disk.silent_s()
            silence = f"its disk has not answered for {silent_s:.0f} s"
            if asked and silent_s >= self.grace_s:
                self.grace_s = min(self.grace_s, AFTERWARDS_S)
                raise HungDiskError(
                    disk.wanted, silence, disk.hint or "see what that disk waits for, or write elsewhere"
                )
            if silent_s >= NOTICE_S and not told:
                told = True
                self.tell(f"waiting to {disk.wanted}: {silence}")

    def have(self, act: Callable[[], Result], wanted: str, hint: str = "") -> Result:
        """Have something done, and wait for it.

        Args:
            act: what.
            wanted: as a phrase that follows "cannot", for the message where it hangs.
            hint: what would work then.

        Raises:
            HungDiskError: the patience is over; it may still be done at any time until the process ends.
            Exception: what the act raises.
        """
        disk = _new_thread()
        if disk is None:
            return act()
        disk.begin(act, wanted, hint)
        self.wait(disk)
        try:
            result: Result = disk.take()
        finally:
            disk.end()
        return result

    def write(self, path: str, content: str | bytes, wanted: str, *, mode: int | None = None) -> None:
        """Have a whole file written, and wait for it.

        Args:
            path: see `write_file`.
            content: of it.
            wanted: as for `have`.
            mode: see `write_file`.

        Raises:
            IpexLaunchError: it cannot be written, or the patience is over.
        """
        try:
            self.have(lambda: write_file(path, content, mode=mode), wanted)
        except OSError as error:
            raise IpexLaunchError(wanted, str(error.strerror), "make room, or write elsewhere") from None


def let_go(act: Callable[[], object]) -> None:
    """Have something done that need not be (to remove what says whose a place is); a disk that hangs is left alone.

    Args:
        act: what.

    Raises:
        Exception: what the act raises.
    """
    disk = _new_thread()
    if disk is None:
        act()
        return
    disk.begin(act, "let go")
    if disk.answers(LET_GO_S):
        disk.take()
        disk.end()


def _new_thread() -> DiskThread | None:
    """None where the system allows no more: who waits does it itself then, and hopes for the disk."""
    try:
        return DiskThread()
    except (RuntimeError, OSError):
        return None
