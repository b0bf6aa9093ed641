"""The built-in worker of `ipexlaunch batch --model`: texts in, vectors, labels or texts out.

    python -m ipexlaunch.models.run_batch '{"model": "./all-MiniLM-L6-v2", "task": "embed", ...}'

The argument is a ModelJob as JSON (models/engines/model_job.py).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from ipexlaunch import worker
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.models.engines.batch_shapes import BatchShapes
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.run.batches import make_inputs
from ipexlaunch.models.run.load_model import load_model
from ipexlaunch.models.run.prepare import Batch, Prepared, import_engine
from ipexlaunch.models.run_model import facts_of_job, prepare_model, read_job

if TYPE_CHECKING:
    import torch

    from ipexlaunch.models.run.batches import TextBatches


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
    from ipexlaunch.models.run.answer_requests import RequestAnswers
    from ipexlaunch.models.run.batches import TextBatches
    from ipexlaunch.models.run.run_task import run_task

    loaded = load_model(job)
    shapes = BatchShapes(rows=job.batch_size, longest=job.input_tokens, fixed=_makes_graphs(job))
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
    for given in worker.batches():
        try:
            if job.requests:
                answer: list[object] = list(RequestAnswers(prepared, job, texts).rows(given.items))
            else:
                answer = _answer(prepared, job, texts, given.items)
        except (RuntimeError, ValueError, TypeError) as error:
            given.failed(f"{type(error).__name__}: {error}")
        else:
            given.done(answer)
    worker.tell(cut_texts=texts.cut)


def _makes_graphs(job: ModelJob) -> bool:
    """Whether the engine makes a graph for each shape: torch compiles, ipex traces what does not generate."""
    return job.candidate.engine == "torch" or (job.candidate.engine == "ipex" and job.task != "generate")


def _answer(prepared: Prepared, job: ModelJob, texts: TextBatches, given: Sequence[object]) -> list[object]:
    from ipexlaunch.models.run.run_task import run_task

    found = [text if isinstance(text, str) else _not_text(text) for text in given]
    batch = texts.batch(found)
    if job.task == "generate":
        return texts.answers(_continued(prepared, batch, job.new_tokens, texts.ends, len(found)), len(found))
    return texts.answers(run_task(prepared, job.task, batch, job.new_tokens).answer, len(found))


def _continued(prepared: Prepared, batch: Batch, new_tokens: int, ends: frozenset[int], rows: int) -> torch.Tensor:
    """The new tokens of each prompt; the search ends where every text has."""
    from ipexlaunch.models.run.answer_requests import AllDone
    from ipexlaunch.models.run.run_task import greedy

    length = batch["input_ids"].shape[1]
    ended = AllDone(lambda _, tokens: tokens[-1] in ends, rows, length)
    return greedy(prepared, batch, new_tokens, min_new_tokens=0, stopping_criteria=[ended])[:, length:]


def _not_text(value: object) -> str:
    raise ValueError(f"an item is {type(value).__name__}, not text; --text-field says which field has it")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
