"""What starting workers costs: what they start beside themselves, and what running ones have cost.

Sources: torch/_inductor/async_compile.py of torch 2.8 (TORCH_WARM_POOL); proc(5), /proc/PID/stat and /proc/PID/status.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import Facts, LoadedRuntimes, require
from ipexlaunch.doctor.host_files_read import Unavailable

POOL = "TORCH_WARM_POOL"

BY_PHASE = "--report tells what a start costs by phase; --share-start does most of it once for all workers of a node"


def check_worker_start(facts: Facts) -> Sequence[Finding]:
    """Whether an import starts a pool of processes in each worker, and what running workers have cost."""
    costs = [_cost(process) for process in facts.processes if not isinstance(process, Unavailable)]
    return [_pool(require(facts.environment).get(POOL)), *(cost for cost in costs if cost is not None)]


def _pool(value: str | None) -> Finding:
    seen = Evidence("environment", f"{POOL} is not set, so workers get 0" if value is None else f"{POOL}={value}")
    if value in (None, "0"):
        return finding("ok", "Workers start no pool of processes when they import torch", seen)
    message = "Importing IPEX, or a torch with triton, starts a pool of processes in each worker that has several cpus"
    return finding("note", message, seen, remedy=f"unset {POOL}: workers get 0, and what compiles makes the pool then")


def _cost(process: LoadedRuntimes) -> Finding | None:
    if process.cpu_s is None or process.anonymous_bytes is None:
        return None
    told = f"{process.cpu_s:.1f} cpu-seconds so far, and has {process.anonymous_bytes >> 20} MiB of memory in no file"
    seen = Evidence(f"/proc/{process.pid}", "stat: utime, stime; status: RssAnon")
    return finding("ok", f"Process {process.pid} has cost {told}", seen, remedy=BY_PHASE)
