"""`--engine` and `--dtype` -> the candidate that runs, by what is known and what is measured here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import AS_IT_COMES, Candidate, QuantizedForm
from ipexlaunch.models.engines.choose import (
    Choice,
    DtypeWord,
    EngineWord,
    Weighed,
    choose,
    expected,
    finalists,
    left_out,
    worth_measuring,
)
from ipexlaunch.models.engines.model_job import SECONDS, ModelJob
from ipexlaunch.tune.dtypes.context import Ground, check_place, identity_of, recall, store_measurements
from ipexlaunch.tune.dtypes.measure import measure, measure_finals


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What runs, and what was known when it was chosen."""

    job: ModelJob
    """With the candidate."""
    choice: Choice
    known: tuple[Weighed, ...]
    """Every candidate of the asked engines; those that were measured have their figures."""


def resolve_candidate(
    job: ModelJob,
    engine: EngineWord,
    dtype: DtypeWord,
    ground: Ground,
    *,
    form: QuantizedForm = AS_IT_COMES,
    force: bool = False,
) -> Resolved:
    """Choose the candidate of a job, measuring what must be known for it and was not measured before.

    Args:
        job: the model, the task and the sizes of a call; its candidate is replaced.
        engine: one, or auto.
        dtype: one, or auto for the fastest whose answers keep their bound.
        ground: where it will run.
        form: what is asked of int8 and int4.
        force: take the asked dtype though fp32 is faster.

    Raises:
        RequestError: nothing of the kind runs here, or it is slower than fp32 and not forced.
        LaunchError: the model cannot be loaded.
    """
    known = expected(ground.dispatch, ground.software, engine, form)
    usable = [each.candidate for each in known if each.expectation.fares != "unavailable"]
    asked = [each for each in usable if dtype in ("auto", each.dtype)]
    if len(asked) == 1 and (dtype == "fp32" or force):
        why = "asked for" if dtype == "fp32" else "forced, not measured"
        return Resolved(job=replace(job, candidate=asked[0]), choice=Choice(candidate=asked[0], why=why), known=known)
    if asked:
        known = measure_known(job, known, worth_measuring(known, dtype), ground)
        if dtype == "auto":
            known = decide(job, known, ground)
    try:
        choice = choose(known, engine, dtype, force=force)
    except RequestError:
        if not any(each.speed for each in known):
            raise  # it says of every candidate why
        # What would do better is measured too, so that the refusal names it with its figure.
        known = measure_known(job, known, worth_measuring(known, "auto"), ground)
        for line in left_out(known, "auto"):
            ground.tell(line)
        choice = choose(known, engine, dtype, force=force)
    return Resolved(job=replace(job, candidate=choice.candidate), choice=choice, known=known)


def measure_known(
    job: ModelJob,
    known: Sequence[Weighed],
    wanted: Sequence[Candidate],
    ground: Ground,
    *,
    seconds: float = SECONDS,
    layers: int | None = None,
) -> tuple[Weighed, ...]:
    """Fill in what was measured of the wanted candidates, now or before.

    Args:
        job: the model, the task and the sizes of a call.
        known: candidates with what is expected of them; those that have their figures keep them.
        wanted: those whose figures are needed.
        ground: where it will run.
        seconds: to time each that is measured now.
        layers: measure so many of the first layers; None for all of a model that is not too large.

    Raises:
        LaunchError: the model cannot be loaded, or the figures cannot be kept.
    """
    key = _key(job, ground, layers, seconds)
    found = recall(ground.cache, key, ground.tell)
    found |= {each.candidate: each.measurement for each in known if each.measurement is not None}
    missing = [each for each in wanted if each not in found]
    if missing:
        check_place(ground.cache)
        names, count = ", ".join(each.name for each in missing), len(ground.plan.chosen)
        told = f"measuring on {count} instance{'s' * (count != 1)}, {seconds:g} s each once prepared: {names}"
        ground.tell(told)
        fresh = measure(ground, job, missing, seconds=seconds, layers=layers)
        found |= {each.candidate: each for each in fresh}
        store_measurements(ground.cache, key, list(found.values()))
    return tuple(replace(each, measurement=found.get(each.candidate)) for each in known)


def decide(job: ModelJob, known: Sequence[Weighed], ground: Ground, *, seconds: float = SECONDS) -> tuple[Weighed, ...]:
    """Let those run off that a first measurement found nearly equally fast; nothing is done where it is clear.

    Args:
        job: the model, the task and the sizes of a call.
        known: candidates with their measurements.
        ground: where it will run.
        seconds: to time each in each of its turns.

    Raises:
        LaunchError: the model cannot be loaded, or the figures cannot be kept.
    """
    near = finalists(known)
    found = {each.candidate: each.measurement for each in known if each.measurement is not None}
    if not near or all(found[candidate].run_off for candidate in near):
        return tuple(known)
    ground.tell(f"measuring again, each alone: {', '.join(candidate.name for candidate in near)}")
    found |= {each.candidate: each for each in measure_finals(ground, job, near, seconds=seconds)}
    # An earlier run-off of others does not count beside this one.
    found = {each: row if each in near else replace(row, run_off=False) for each, row in found.items()}
    key = _key(job, ground, None, seconds)
    store_measurements(ground.cache, key, list({**recall(ground.cache, key, ground.tell), **found}.values()))
    return tuple(replace(each, measurement=found.get(each.candidate)) for each in known)


def _key(job: ModelJob, ground: Ground, layers: int | None, seconds: float) -> dict[str, object]:
    """Everything that decides over the figures."""
    dispatch = ground.dispatch
    return {
        "cpu": ground.topology.cpu_model,
        "aten": sorted(dispatch.aten),
        "onednn": sorted(dispatch.onednn),
        "ipex_flags": sorted(dispatch.ipex),
        **asdict(ground.software),
        "preloaded": sorted(ground.job.libraries),
        "variables": dict(sorted(ground.job.environment.items())),
        "threads": [instance.threads for instance in ground.plan.chosen],
        "model": identity_of(job.model),
        "checkpoint": job.checkpoint,
        "task": job.task,
        "batch_size": job.batch_size,
        "input_tokens": job.input_tokens,
        "new_tokens": job.new_tokens if job.task == "generate" else 0,
        "layers": layers,
        "seconds": seconds,
    }
