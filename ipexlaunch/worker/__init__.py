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
import math
import operator
import os
from threading import local
from time import monotonic
from typing import TYPE_CHECKING

from ipexlaunch.worker import template
from ipexlaunch.worker.batch_loop import Batch, take_batches, take_overlapping
from ipexlaunch.worker.shared_weights import shared_weights, shared_weights_file
from ipexlaunch.worker.spent import spent
from ipexlaunch.worker.status_channel import StatusChannel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "Summary", "batches", "count", "count_of_workers", "finish", "index", "invalid", "overlapping_batches", "phase",
    "ready", "samples", "shared_weights", "shared_weights_file", "split", "tell",
]  # fmt: skip

BATCHES_VARIABLE = "IPEXLAUNCH_BATCHES"
"""Environment variable that says that there are items, and how many batches of them a worker may hold."""

FLUSH_INTERVAL_S = 0.25
"""Counts are sent at most this much later than they were made."""

FLUSH_COUNTS = 1000
"""... or when this many have gathered: a line stays so short that the kernel takes it in one piece, even where forked
children write beside us (net/unix/af_unix.c, unix_stream_sendmsg)."""


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
        return (
            f"{self.items} item{'s' * (self.items != 1)} in {self.seconds:.2f} s: {self.items_per_second:.1f} items/s"
        )


_state: "StatusChannel | None" = None
_before_ready: "StatusChannel | None" = None
"""What phase(), tell() and invalid() talk through before ready()."""


def _channel() -> StatusChannel:
    global _before_ready
    if _state is not None:
        return _state
    if _before_ready is None:
        _before_ready = StatusChannel()
    return _before_ready


def phase(name: str) -> None:
    """Say what this worker is busy with until the next phase() or ready(), e.g. "loading", "compiling".

    Shown while it lasts and reported with its seconds and its cost. "compiling" and "waiting for compilation" have a
    time limit of their own (--compile-timeout) and do not count against --ready-timeout.

    Args:
        name: a few words.
    """
    _channel().send(event="phase", name=name, time=monotonic(), **spent())


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


def split() -> None:
    """Return in each worker; under `--share-start model` what comes before is done once for all of them, else by each.

        model = prepare(load(...))            # one process for all workers of a node, on one thread
        worker.split()                        # from here on each worker is on its own cpus
        warm_up(model)
        worker.ready()

    Nothing before it may start a thread; `index` holds only after it.
    """
    template.serve("model")


def _begin_in_worker() -> None:
    """This is a worker now, forked from a process that was none."""
    global index, count_of_workers, _before_ready
    index, count_of_workers, _before_ready = _number("IPEXLAUNCH_INDEX", 0), _number("IPEXLAUNCH_COUNT", 1), None
    for message in template.kept:
        _channel().send(**message)
    template.kept.clear()


template.in_worker.append(_begin_in_worker)


def ready() -> None:
    """Say that loading and warm-up are over, and return when every worker has said so; work counts from here.

    Raises:
        RuntimeError: called twice, or the launcher went away while we waited.
    """
    global _state
    if _state is not None:
        raise RuntimeError("ipexlaunch.worker.ready() was called twice; call it once, after the warm-up")
    template.refuse_before_split("ready")
    _state = _channel().here()
    _state.forked = False  # a child that says that it is ready is the worker
    if _state.descriptor is not None:
        _state.send(event="ready", time=monotonic(), **spent())
        if not _state.wait_for("go"):
            raise RuntimeError("ipexlaunch went away before it gave the start")
    _state.started = _state.last = _state.flushed = monotonic()


def count(items: int = 1, tokens: int = 0, latency_s: "float | None" = None) -> None:
    """Count work that has just been done; any thread may, a signal handler, and a forked child.

    Args:
        items: units of work: samples, sentences, prompts.
        tokens: tokens, where that means something.
        latency_s: how long it took; by default the time since this thread's last count.

    Raises:
        RuntimeError: ready() was not called, or finish() was.
        ValueError: a negative number, one that is no count of anything, or a latency that is none.
        TypeError: items or tokens that are no whole number.
    """
    items, tokens = operator.index(items), operator.index(tokens)  # of arrays and tensors too
    whole = 0 <= items <= LARGEST_COUNT and 0 <= tokens <= LARGEST_COUNT
    if not whole or not (latency_s is None or 0 <= latency_s < math.inf):
        raise ValueError(
            f"count(items={items}, tokens={tokens}, latency_s={latency_s}): numbers from 0 are counted, below 10^15"
        )
    state = _state
    if state is None or state.started is None:
        raise RuntimeError(f"ipexlaunch.worker.count() was called before ready(); {ORDER}")
    state.here()
    with state.counting:
        if state.over:
            raise RuntimeError(f"ipexlaunch.worker.count() was called after finish(); {ORDER}")
        now = monotonic()
        since = getattr(_of_thread, "last", state.last)
        state.counts.append((now, items, tokens, max(0.0, now - since) if latency_s is None else float(latency_s)))
        state.last = _of_thread.last = now
    # Nothing tells a forked child that it is about to end (multiprocessing leaves by os._exit).
    if now - state.flushed >= FLUSH_INTERVAL_S or len(state.counts) >= FLUSH_COUNTS or state.forked:
        state.flushed = now
        state.flush()


LARGEST_COUNT = 10**15 - 1
"""A larger number is none of items done since the last count."""

ORDER = "the order is ready(), count()..., finish()"

_of_thread = local()
"""When each thread has counted last."""


def batches() -> "Iterator[Batch]":
    """Every batch of items that `ipexlaunch batch` gives this worker; calls ready() where that was not done.

        for batch in worker.batches():
            batch.done(model(batch.items))

    Raises:
        RuntimeError: not under `ipexlaunch batch`, a batch was not answered, or the launcher went away.
    """
    return take_batches(_channel(), _batches_held())


def overlapping_batches() -> "Iterator[Batch | None]":
    """The same for programs that work on several batches at once: the next may be taken before the last is answered.

    It is None where one is unanswered and the next has not arrived: work on what you have, and ask again.

    Raises:
        RuntimeError: not under `ipexlaunch batch`, or the launcher went away.
    """
    return take_overlapping(_channel(), _batches_held())


def _batches_held() -> int:
    held = os.environ.get(BATCHES_VARIABLE, "")
    template.refuse_before_split("batches")
    if not held.isdecimal() or _channel().descriptor is None:
        raise RuntimeError(
            "ipexlaunch.worker.batches() has no items here; start this program with "
            "`ipexlaunch batch --input FILE --output FILE`"
        )
    if _state is None:
        ready()
    return int(held)


def finish() -> Summary:
    """Say that the last item is counted, let the launcher look where this worker's memory is, and return the totals.

    Raises:
        RuntimeError: ready() was not called.
    """
    state = _state
    if state is None or state.started is None:
        raise RuntimeError("ipexlaunch.worker.finish() was called before ready()")
    state.here()
    with state.counting:
        first, state.over = not state.over, True
    state.flush(last=True)
    if first and not state.forked:
        # The launcher has counted the same, or something was lost on the way.
        state.send(event="finished", time=monotonic(), items=state.items, tokens=state.tokens)
        state.wait_for("exit")
    return Summary(state.items, state.tokens, state.last - state.started)


def _finish_at_exit() -> None:
    """Send what was counted when a script ends without finish(); a forked child has no end of its own to announce."""
    if _state is not None and _state.started is not None and not _state.over and not _state.here().forked:
        finish()


# At the import, so that it comes after what the script registers to be done at its exit.
atexit.register(_finish_at_exit)
