"""Measures the host time of a call: what it spends outside its compiled programs."""

from __future__ import annotations

from statistics import median
from time import thread_time
from typing import Any

from ipexlaunch.engines.model_job import Task
from ipexlaunch.run_models.make_inputs import Batch
from ipexlaunch.run_models.prepared import Prepared
from ipexlaunch.run_models.run_task import run_task

_NEW_TOKENS = 8


def measure_host_overhead(prepared: Prepared, batch: Batch, task: Task, calls: int = 3) -> float:
    """Processor seconds of one call, or of one token, outside the compiled programs; the median of some calls.

    Each program notes the calling thread's time from its call to its return, and the rest of that thread's time is the
    host's: looking up the program, checking shapes, making the output, choosing tokens. What a program does between its
    own kernels is inside. It is the thread's own time, so that another process on the cpu does not count.

    Args:
        prepared: by engine torch, warmed up.
        batch: to call it with.
        task: what to do.
        calls: how many.
    """
    model: Any = prepared.model
    outside: list[float] = []
    for _ in range(calls):
        before = sum(program.inside_s for program in model.loaded())
        began = thread_time()
        run_task(prepared, task, batch, _NEW_TOKENS)
        taken = thread_time() - began
        outside.append(taken - (sum(program.inside_s for program in model.loaded()) - before))
    return median(outside) / (_NEW_TOKENS if task == "generate" else 1)
