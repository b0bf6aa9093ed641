"""Measures the host time of a call: what it spends outside its compiled programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import thread_time
from typing import Any

from ipexlaunch.models.run.prepared import Prepared


@contextmanager
def note_host_time(prepared: Prepared, outside: list[float]) -> Iterator[None]:
    """Append the processor seconds that the call inside spends outside the compiled programs.

    Each program notes the calling thread's time from its call to its return, and the rest of that thread's time is the
    host's: looking up the program, checking shapes, making the output, choosing tokens. What a program does between its
    own kernels is inside. It is the thread's own time, so that another process on the cpu does not count.

    Args:
        prepared: by engine torch.
        outside: where to append.
    """
    model: Any = prepared.model
    before = sum(program.inside_s for program in model.loaded())
    began = thread_time()
    yield
    taken = thread_time() - began
    outside.append(taken - (sum(program.inside_s for program in model.loaded()) - before))
