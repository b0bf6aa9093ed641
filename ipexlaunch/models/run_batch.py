"""The built-in worker of `ipexlaunch batch --model`: texts in, vectors, labels or texts out.

    python -m ipexlaunch.models.run_batch '{"model": "./all-MiniLM-L6-v2", "task": "embed", ...}'

The argument is a ModelJob as JSON (models/engines/model_job.py).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product

from ipexlaunch import worker
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.models.engines.batch_shapes import BatchShapes
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.run.batches import TextBatches, make_inputs
from ipexlaunch.models.run.load_model import load_model
from ipexlaunch.models.run.prepare import import_engine
from ipexlaunch.models.run_model import facts_of_job, prepare_model, read_job


def main(arguments: Sequence[str]) -> int:
    """Run the job that the only argument describes; the exit code."""
    try:
        run_batches(read_job(arguments))
    except IpexLaunchError as error:
        print(f"run_batch: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def run_batches(job: ModelJob) -> None:
    """Load, prepare, check, run every shape once, and answer batches until there are no more.

    Raises:
        IpexLaunchError: the job cannot be run here.
    """
    worker.phase("loading")
    versions = import_engine(job.candidate)
    from ipexlaunch.models.run.answer_requests import Answering
    from ipexlaunch.models.run.run_task import run_task

    loaded = load_model(job)
    # A graph is made for each shape where torch compiles, and where ipex traces what does not generate.
    fixed = job.candidate.engine == "torch" or (job.candidate.engine == "ipex" and job.task != "generate")
    shapes = BatchShapes(rows=job.batch_size, longest=job.input_tokens, fixed=fixed)
    texts = TextBatches(job, loaded, shapes)
    inputs = make_inputs(job, loaded, batches=2)  # of made-up text: one to prepare with, another to check
    worker.tell(**facts_of_job(job, loaded, inputs), versions=versions)
    prepared = prepare_model(job, loaded, inputs)
    del loaded  # a compiled model has weights of its own
    worker.phase("warming up")
    for rows, length in product(shapes.row_counts, reversed(shapes.lengths)):
        batch = {name: tensor[:rows, :length].contiguous() for name, tensor in inputs.batches[0].items()}
        run_task(prepared, job.task, batch, job.new_tokens)
    prepared.release()
    answering = Answering(prepared, job, texts)
    for given in worker.batches():
        try:
            answer = answering.answers(given.items)
        except (RuntimeError, ValueError, TypeError) as error:
            given.failed(f"{type(error).__name__}: {error}")
        else:
            given.done(answer)
    worker.tell(cut_texts=texts.cut)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
