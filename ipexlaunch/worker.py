"""What a script calls to take part in a measured run: `ready()`, `count()`, `finish()`.

    from ipexlaunch import worker

    ...load the model and warm it up...
    worker.ready()                        # all workers start from here together
    for batch in batches:
        model(batch)
        worker.count(items=len(batch))
    print(worker.finish())

A script that runs on its own can call the same three: `ready()` returns at once and `finish()` still tells the rate.
This module needs nothing but the standard library of Python 3.6, so that it loads in any worker's interpreter; types
that are looked at when it is loaded are therefore written as text.
"""

import atexit
import json
import math
import operator
import os
import stat
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ipexlaunch.batch_loop import Batch

__all__ = [
    "Summary",
    "batches",
    "count",
    "count_of_workers",
    "finish",
    "index",
    "invalid",
    "phase",
    "ready",
    "samples",
    "tell",
]

BATCHES_VARIABLE = "IPEXLAUNCH_BATCHES"
"""Environment variable that says that there are items, and how many batches of them a worker may hold."""

FLUSH_INTERVAL_S = 0.25
"""Counts are sent at most this much later than they were made."""

READ_BYTES = 1 << 16

FLUSH_COUNTS = 2000
"""... or when this many have gathered."""


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


index: int = _number("IPEXLAUNCH_INDEX", 0)
"""Index of this worker's instance, from 0."""

count_of_workers: int = _number("IPEXLAUNCH_COUNT", 1)
"""How many workers the run has; 1 on its own."""


class Summary:
    """What this worker counted between ready() and its last count."""

    def __init__(self, items: int, tokens: int, seconds: float) -> None:
        """Keep the totals.

        Args:
            items: units of work.
            tokens: tokens, 0 where they were not counted.
            seconds: from the start to the last count.
        """
        self.items = items
        self.tokens = tokens
        self.seconds = seconds

    @property
    def items_per_second(self) -> float:
        """0.0 where nothing was counted."""
        return self.items / self.seconds if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        return f"{self.items} items in {self.seconds:.2f} s: {self.items_per_second:.1f} items/s"


class _Worker:
    """The state behind the three functions: one per process."""

    def __init__(self) -> None:
        self.channel = _status_channel()
        self.unread = bytearray()
        self.started: float | None = None
        self.last = 0.0
        self.flushed = 0.0
        self.items = 0
        self.tokens = 0
        self.over = False
        self.pid = os.getpid()
        self.times: list[float] = []
        self.counts: list[int] = []
        self.token_counts: list[int] = []
        self.latencies: list[float] = []

    def send(self, **event: object) -> None:
        """Write one message; a launcher that is gone is nothing to complain about, its end ends us."""
        if self.channel is not None:
            self.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")

    def write(self, line: bytes) -> None:
        """Write one line, all of it."""
        if self.channel is None:
            return
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self.channel, rest) :]
        except (BrokenPipeError, ConnectionResetError):
            self.channel = None

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

    def next_line(self) -> bytes:
        """Block until there is a whole line; b"" where the launcher is gone.

        No file object, which would have to be closed, and could not be while another thread reads.
        """
        channel, searched = self.channel, 0
        if channel is None:
            return b""
        while (end := self.unread.find(b"\n", searched)) < 0:
            searched = len(self.unread)
            received = os.read(channel, READ_BYTES)
            if not received:
                return b""
            self.unread += received
        line = bytes(self.unread[: end + 1])
        del self.unread[: end + 1]
        return line

    def flush(self) -> None:
        """Send the counts that have gathered."""
        if self.times:
            self.send(
                event="progress",
                times=self.times,
                items=self.counts,
                tokens=self.token_counts,
                latencies_s=self.latencies,
            )
            self.times, self.counts, self.token_counts, self.latencies = [], [], [], []


def _status_channel() -> "int | None":
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


_state: "_Worker | None" = None
_before_ready: "_Worker | None" = None
"""What phase(), tell() and invalid() talk through before ready()."""


def _channel() -> _Worker:
    global _before_ready
    if _state is not None:
        return _state
    if _before_ready is None:
        _before_ready = _Worker()
    return _before_ready


def phase(name: str) -> None:
    """Say what this worker is busy with until the next phase() or ready(), e.g. "loading", "compiling".

    Shown while it lasts and reported with its seconds. "compiling" and "waiting for compilation" have a time limit of
    their own (--compile-timeout) and do not count against --ready-timeout.

    Args:
        name: a few words.
    """
    _channel().send(event="phase", name=name, time=monotonic())


def samples(name: str, values_s: "Iterable[float]") -> None:
    """Report durations of one kind, such as "first_token" or "next_token"; percentiles are taken over all workers.

    Args:
        name: what they are.
        values_s: seconds.
    """
    _channel().send(event="samples", name=name, values_s=list(values_s))


def tell(**facts: object) -> None:
    """Put facts about this worker into the report; a later fact of the same name replaces an earlier one.

    Args:
        facts: anything that JSON can hold.
    """
    _channel().send(event="facts", facts=facts)


def invalid(reason: str) -> None:
    """Say that this worker's results must not be believed, e.g. wrong answers: the run is INVALID with this reason.

    Args:
        reason: what was wrong, with its numbers.
    """
    _channel().send(event="invalid", reason=reason)


def ready() -> None:
    """Say that loading and warm-up are over, and return when every worker has said so; work counts from here.

    Raises:
        RuntimeError: called twice, or the launcher went away while we waited.
    """
    global _state
    if _state is not None:
        raise RuntimeError("ipexlaunch.worker.ready() was called twice; call it once, after the warm-up")
    _state = _channel()
    atexit.register(_finish_at_exit)
    if _state.channel is not None:
        _state.send(event="ready", time=monotonic())
        if not _state.wait_for("go"):
            raise RuntimeError("ipexlaunch went away before it gave the start")
    _state.started = _state.last = _state.flushed = monotonic()


def count(items: int = 1, tokens: int = 0, latency_s: "float | None" = None) -> None:
    """Count work that has just been done.

    Args:
        items: units of work: samples, sentences, prompts.
        tokens: tokens, where that means something.
        latency_s: how long it took; by default the time since the last count.

    Raises:
        RuntimeError: ready() was not called, or finish() was.
        ValueError: a negative number, or a latency that is none.
        TypeError: items or tokens that are no whole number.
    """
    state = _state
    if state is None or state.started is None or state.over:
        when = "after finish()" if state is not None and state.over else "before ready()"
        raise RuntimeError(f"ipexlaunch.worker.count() was called {when}; the order is ready(), count()..., finish()")
    now = monotonic()
    items, tokens = operator.index(items), operator.index(tokens)  # of arrays and tensors too
    if items < 0 or tokens < 0 or not (latency_s is None or 0 <= latency_s < math.inf):
        raise ValueError(f"count(items={items}, tokens={tokens}, latency_s={latency_s}): numbers from 0 are counted")
    state.items += items
    state.tokens += tokens
    if state.channel is not None:
        state.times.append(now)
        state.counts.append(items)
        state.token_counts.append(tokens)
        state.latencies.append(now - state.last if latency_s is None else float(latency_s))
        if now - state.flushed >= FLUSH_INTERVAL_S or len(state.times) >= FLUSH_COUNTS:
            state.flush()
            state.flushed = now
    state.last = now


def batches() -> "Iterator[Batch]":
    """Every batch of items that `ipexlaunch batch` gives this worker; calls ready() where that was not done.

        for batch in worker.batches():
            batch.done(model(batch.items))

    Raises:
        RuntimeError: not under `ipexlaunch batch`, a batch was not answered, or the launcher went away.
    """
    held = os.environ.get(BATCHES_VARIABLE, "")
    if not held.isdecimal() or _channel().channel is None:
        raise RuntimeError(
            "ipexlaunch.worker.batches() has no items here; start this program with "
            "`ipexlaunch batch --input FILE --output FILE`"
        )
    if _state is None:
        ready()
    from ipexlaunch.batch_loop import take_batches

    return take_batches(_channel(), int(held))


def finish() -> Summary:
    """Say that the last item is counted, let the launcher look where this worker's memory is, and return the totals.

    Raises:
        RuntimeError: ready() was not called.
    """
    state = _state
    if state is None or state.started is None:
        raise RuntimeError("ipexlaunch.worker.finish() was called before ready()")
    if not state.over:
        state.over = True
        state.flush()
        state.send(event="finished", time=monotonic())
        state.wait_for("exit")
    return Summary(state.items, state.tokens, state.last - state.started)


def _finish_at_exit() -> None:
    """Send what was counted when a script ends without finish(); a forked child stays silent."""
    if _state is not None and _state.started is not None and not _state.over and os.getpid() == _state.pid:
        finish()
