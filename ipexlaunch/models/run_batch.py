"""The built-in worker of `ipexlaunch batch --model`: texts in, vectors, labels or texts out.

    python -m ipexlaunch.models.run_batch '{"model": "./all-MiniLM-L6-v2", "task": "embed", ...}'

The argument is a ModelJob as JSON (models/engines/model_job.py).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ipexlaunch import worker
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.models.run.prepare import import_engine
from ipexlaunch.models.run_model import read_job


def main(arguments: Sequence[str]) -> int:
    """Run the job that the only argument describes; the exit code."""
    try:
        job = read_job(arguments)
        worker.phase("imports")
        versions = import_engine(job.candidate)
        # It imports torch, which import_engine has found and quietened.
        from ipexlaunch.models.run.answer_requests import answer_batches

        worker.phase("loading")
        answer_batches(job, versions)
    except IpexLaunchError as error:
        print(f"run_batch: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
