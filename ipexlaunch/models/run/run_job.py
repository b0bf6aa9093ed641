"""Runs one model job from loading to the last call, and tells how fast it was and whether its answers are right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from itertools import cycle
from statistics import median
from time import monotonic

from ipexlaunch import worker
from ipexlaunch.models.engines.measurement import bound_of, judge
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.run.batches import Inputs, calibration_of, make_inputs
from ipexlaunch.models.run.load_model import LoadedModel, load_model
from ipexlaunch.models.run.prepare import Batch, Prepared, open_device, prepare, prepare_on_device
from ipexlaunch.models.run.run_task import compare, run_task, take_reference
from ipexlaunch.models.run.timing import note_host_time
from ipexlaunch.worker import template

SAMPLES_AT_ONCE = 512
"""Durations of tokens are sent when so many have gathered."""


def run_job(job: ModelJob, versions: Mapping[str, str]) -> None:
    """Load, prepare, check, measure and finish.

    Args:
        job: what to run.
        versions: of the engine's packages, for the report.

    Raises:
        IpexLaunchError: the job cannot be run here.
    """
    loaded = load_model(job)
    inputs = make_inputs(job, loaded)
    worker.tell(**facts_of_job(job, loaded, inputs), versions=versions)
    prepared = prepare_model(job, loaded, inputs)
    del loaded  # a compiled model has weights of its own
    warm_up_around_split(lambda: _warm_up(job, prepared, inputs))
    prepared.release()
    worker.ready()
    _measure(job, prepared, inputs)
    worker.finish()


def warm_up_around_split(warm_up: Callable[[], None]) -> None:
    """Warm up, in a template too: what a first call makes of the model is made once for all workers.

    Args:
        warm_up: runs every shape, and says so.
    """
    if template.mode():
        warm_up()
    worker.split()
    warm_up()


def facts_of_job(job: ModelJob, loaded: LoadedModel, inputs: Inputs) -> dict[str, object]:
    """What the report says of the job."""
    generates = job.task == "generate"
    return {
        "model": job.model,
        "random": loaded.random,
        "parameters": loaded.parameters,
        "task": job.task,
        "engine": job.candidate.engine,
        "dtype": job.candidate.dtype,
        "candidate": job.candidate.name,
        "batch_size": job.batch_size,
        "input_tokens": job.input_tokens,
        "new_tokens": job.new_tokens if generates else None,
        "counted_tokens": "new" if generates else "input, without padding",
        "text": inputs.text,
    }


def prepare_model(job: ModelJob, loaded: LoadedModel, inputs: Inputs) -> Prepared:
    """Convert the model, compile it, and compare it with what it was."""
    reference = None
    if job.check:
        worker.phase("checking")
        reference = take_reference(loaded.model, job.task, checked_batches(inputs))
    worker.phase("converting")
    if job.device == "cpu":
        prepared = prepare(
            loaded.model,
            job.candidate,
            inputs.batches[0],
            job.task,
            calibration=calibration_of(job, loaded, job.candidate),
            checkpoint=job.checkpoint,
            new_tokens=job.new_tokens,
            cache=job.cache,
            cache_limit_bytes=job.cache_limit_bytes,
            say=worker.phase,
        )
    else:
        prepared = _on_device(job, loaded, inputs)
    worker.tell(convert_s=round(prepared.convert_s, 3), notes=list(prepared.notes), **prepared.facts)
    if reference is not None:
        worker.phase("checking")
        answers = compare(prepared, reference)
        worker.tell(check={name: value for name, value in asdict(answers).items() if value is not None})
        bound = bound_of(job.candidate.dtype, job.min_cosine)
        worker.tell(bound=bound.applied(answers, random_weights=loaded.random))
        wrong = judge(answers, job.candidate.dtype, random_weights=loaded.random, min_cosine=job.min_cosine)
        if wrong:
            worker.invalid(f"wrong answers of {job.candidate.name}: {wrong}")
    return prepared


def checked_batches(inputs: Inputs) -> tuple[Batch, ...]:
    """What answers are compared on, when candidates are measured and before a run alike: of texts that are many
    enough it is none that a candidate was calibrated on, nor what a traced graph is recorded with."""
    return inputs.batches[-1:]


def _on_device(job: ModelJob, loaded: LoadedModel, inputs: Inputs) -> Prepared:
    """The model on its accelerator; its first call compiles kernels, which the runtime keeps for the next run."""
    prepared = prepare_on_device(loaded.model, job.candidate, open_device(job.device))
    worker.phase("compiling")
    began = monotonic()
    run_task(prepared, job.task, inputs.batches[0], job.new_tokens)
    prepared.facts = {**prepared.facts, "compile_s": round(monotonic() - began, 3)}
    return prepared


def _warm_up(job: ModelJob, prepared: Prepared, inputs: Inputs) -> None:
    worker.phase("warming up")
    outside: list[float] = []
    for batch, _ in zip(cycle(inputs.batches), range(job.warmup_batches), strict=False):
        with note_host_time(prepared, outside) if job.candidate.engine == "torch" else nullcontext():
            run_task(prepared, job.task, batch, job.new_tokens)
    if outside:
        units = job.new_tokens if job.task == "generate" else 1
        worker.tell(host_overhead_ms=round(median(outside) / units * 1e3, 4))


def _measure(job: ModelJob, prepared: Prepared, inputs: Inputs) -> None:
    """Run batch after batch until the time is over; one that has begun is finished and counted."""
    first: list[float] = []
    following: list[float] = []
    end = monotonic() + job.seconds
    for batch, tokens in cycle(zip(inputs.batches, inputs.tokens, strict=True)):
        call = run_task(prepared, job.task, batch, job.new_tokens)
        counted = job.batch_size * job.new_tokens if job.task == "generate" else tokens
        worker.count(items=job.batch_size, tokens=counted, latency_s=call.seconds)
        if call.first_token_s is not None:
            first.append(call.first_token_s)
            following.extend(call.next_token_s)
        over = monotonic() >= end
        if over or len(first) + len(following) >= SAMPLES_AT_ONCE:
            for name, values in (("first_token", first), ("next_token", following)):
                if values:
                    worker.samples(name, values)
            first, following = [], []
        if over:
            return
