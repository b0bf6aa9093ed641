"""The measuring worker: measures candidates on its instance while the other instances measure the same.

    python -m ipexlaunch.models.measure_dtypes '{"job": {"model": "random:bert-base", ...}, "candidates": [...]}'

The argument is a MeasuringJob as JSON (models/engines/model_job.py). What is measured so far is told after
each candidate, so that one that takes the process down with it costs its own row only.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

from ipexlaunch import worker
from ipexlaunch.errors import IpexLaunchError, RequestError
from ipexlaunch.models.engines.candidate import REFERENCE
from ipexlaunch.models.engines.model_job import MeasuringJob
from ipexlaunch.models.run.prepare import import_engine
from ipexlaunch.models.run.timing import Barrier


def main(arguments: Sequence[str]) -> int:
    """Measure what the only argument describes; the exit code."""
    try:
        measure(_measuring(arguments))
    except IpexLaunchError as error:
        print(f"measure_dtypes: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measure(measuring: MeasuringJob) -> None:
    """Measure every candidate and tell the rows.

    Raises:
        IpexLaunchError: the model cannot be loaded here.
    """
    import_engine(REFERENCE)
    # It imports torch, which import_engine has found and quietened.
    from ipexlaunch.models.run.measure_candidates import measure_candidates

    worker.tell(**_dispatch())
    barrier = Barrier(measuring.barrier, worker.index, measuring.workers)
    for rows in measure_candidates(measuring, barrier.wait, worker.phase):
        worker.tell(measurements=[asdict(row) for row in rows])


def _measuring(arguments: Sequence[str]) -> MeasuringJob:
    if len(arguments) != 1:
        raise RequestError("measure dtypes", f"there are {len(arguments)} arguments", "give one MeasuringJob as JSON")
    try:
        return MeasuringJob.from_json(arguments[0])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RequestError(
            "read the measuring job", f"{type(error).__name__}: {error}", "`ipexlaunch dtypes` writes it"
        ) from error


def _dispatch() -> dict[str, object]:
    """What torch itself dispatches to, and whether the kernel gives this process AMX (it must be asked)."""
    import torch

    asked = getattr(torch.cpu, "_init_amx", None)
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", None)
    amx = bool(has_tiles and has_tiles() and asked and asked())
    return {"aten": torch.backends.cpu.get_cpu_capability(), "amx": amx}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
