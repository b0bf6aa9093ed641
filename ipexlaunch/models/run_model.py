"""The built-in worker: runs one model job and says what it is doing, how fast it was and whether the answers are right.

    python -m ipexlaunch.models.run_model '{"model": "random:bert-base", ...}'

The argument is a ModelJob as JSON (models/engines/model_job.py).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ipexlaunch import worker
from ipexlaunch.errors import IpexLaunchError, RequestError
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.run.prepare import import_engine


def main(arguments: Sequence[str]) -> int:
    """Run the job that the only argument describes; the exit code."""
    try:
        job = read_job(arguments)
        worker.phase("imports")
        versions = import_engine(job.candidate)
        # It imports torch, which import_engine has found and quietened.
        from ipexlaunch.models.run.run_job import run_job

        worker.phase("loading")
        run_job(job, versions)
    except IpexLaunchError as error:
        print(f"run_model: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def read_job(arguments: Sequence[str]) -> ModelJob:
    """The job that a worker's only argument describes.

    Raises:
        RequestError: it is none.
    """
    if len(arguments) != 1:
        raise RequestError("run a model job", f"there are {len(arguments)} arguments", "give one ModelJob as JSON")
    try:
        job = ModelJob.from_json(arguments[0])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RequestError(
            "read the model job", f"{type(error).__name__}: {error}", "`ipexlaunch bench` writes it"
        ) from error
    for field in ("batch_size", "input_tokens", "new_tokens"):
        if getattr(job, field) < 1:
            raise RequestError("run the model job", f"{field} is {getattr(job, field)}", "give 1 or more")
    return job


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
