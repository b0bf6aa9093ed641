"""`--engine` and `--dtype` -> the candidate that runs, by what is known and what is measured here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import ipexlaunch
from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import DEFAULT_FORM, Candidate, Engine, QuantizedForm
from ipexlaunch.models.engines.candidate_result import CandidateResult
from ipexlaunch.models.engines.choose import (
    Choice,
    DtypeChoice,
    EngineChoice,
    choose,
    expected,
    finalists,
    left_out,
)
from ipexlaunch.models.engines.measurement import Measurement
from ipexlaunch.models.engines.model_job import SECONDS, ModelJob
from ipexlaunch.models.engines.worth_measuring import worth_measuring
from ipexlaunch.tune.dtypes.context import (
    MeasureContext,
    check_cache_writable,
    hidden_size_of,
    load_measurements,
    model_fingerprint,
    store_measurements,
    text_fingerprint,
)
from ipexlaunch.tune.dtypes.measure import measure, measure_finals


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What runs, and what was known when it was chosen."""

    job: ModelJob
    """With the candidate."""
    choice: Choice
    known: tuple[CandidateResult, ...]
    """Every candidate of the asked engines; those that were measured have their figures."""


def resolve_candidate(
    job: ModelJob,
    engine: EngineChoice,
    dtype: DtypeChoice,
    context: MeasureContext,
    *,
    form: QuantizedForm = DEFAULT_FORM,
    force: bool = False,
) -> Resolved:
    """Choose the candidate of a job, measuring what must be known for it and was not measured before.

    Args:
        job: the model, the task and the sizes of a call; its candidate is replaced.
        engine: one, or auto.
        dtype: one, or auto for the fastest whose answers keep their bound.
        context: where it will run.
        form: what is asked of int8 and int4.
        force: take the asked dtype though fp32 is faster.

    Raises:
        RequestError: nothing of the kind runs here, or it is slower than fp32 and not forced.
        LaunchError: the model cannot be loaded.
    """
    known = expected_of(job, engine, context, form)
    usable = [each.candidate for each in known if each.expectation.fares != "unavailable"]
    asked = [each for each in usable if dtype in ("auto", each.dtype)]
    if len(asked) == 1 and (dtype == "fp32" or force):
        why = "asked for" if dtype == "fp32" else "forced, not measured"
        return Resolved(job=replace(job, candidate=asked[0]), choice=Choice(candidate=asked[0], why=why), known=known)
    if asked:
        known = fill_in_measurements(job, known, worth_measuring(known, dtype, job.product_rows), context)
        if dtype == "auto":
            # What these have shown may call for others.
            known = fill_in_measurements(job, known, worth_measuring(known, dtype, job.product_rows), context)
            known = decide(job, known, context)
    try:
        choice = choose(known, engine, dtype, force=force)
    except RequestError:
        if not any(each.speed for each in known):
            raise  # it says of every candidate why
        # What would do better is measured too, so that the refusal names it with its figure.
        known = fill_in_measurements(job, known, worth_measuring(known, "auto", job.product_rows), context)
        for line in left_out(known, "auto"):
            context.tell(line)
        if dtype == "int8-calibrated" and not job.text:
            context.tell(
                "it was calibrated on generated tokens; texts like those of the work may do better: --text FILE"
            )
        choice = choose(known, engine, dtype, force=force)
    return Resolved(job=replace(job, candidate=choice.candidate), choice=choice, known=known)


def expected_of(
    job: ModelJob, engine: EngineChoice, context: MeasureContext, form: QuantizedForm = DEFAULT_FORM
) -> tuple[CandidateResult, ...]:
    """Every candidate of the asked engines with what is known of it before anything is measured.

    Args:
        job: the model, the task and the bound of its answers.
        engine: one, or auto.
        context: where it will run.
        form: what is asked of int8 and int4.
    """
    return expected(
        context.dispatch,
        context.software,
        job.task,
        engine,
        form,
        min_cosine=job.min_cosine,
        hidden_size=hidden_size_of(job.model),
    )


def fill_in_measurements(
    job: ModelJob,
    known: Sequence[CandidateResult],
    wanted: Sequence[Candidate],
    context: MeasureContext,
    *,
    seconds: float = SECONDS,
    layers: int | None = None,
) -> tuple[CandidateResult, ...]:
    """Fill in what was measured of the wanted candidates, now or before.

    Args:
        job: the model, the task and the sizes of a call.
        known: candidates with what is expected of them; those that have their figures keep them.
        wanted: those whose figures are needed.
        context: where it will run.
        seconds: to time each that is measured now.
        layers: measure so many of the first layers; None for all of a model that is not too large.

    Raises:
        LaunchError: the model cannot be loaded, or the figures cannot be kept.
    """
    found = _load(job, context, layers, seconds)
    found |= {each.candidate: each.measurement for each in known if each.measurement is not None}
    missing = [each for each in wanted if each not in found]
    if missing:
        check_cache_writable(context.cache)
        names, count = ", ".join(each.name for each in missing), len(context.plan.chosen)
        where = f"on {count} instance{'s' * (count != 1)}"
        context.tell(f"measuring {where}, {seconds:g} s each once prepared, {_about(missing, seconds)}: {names}")
        if len(missing) > 1:
            context.tell(f"what is found is kept; to skip it: {SKIP}")
        fresh = measure(context, job, missing, seconds=seconds, layers=layers)
        found |= {each.candidate: each for each in fresh}
        _store(job, context, layers, seconds, found)
    return tuple(replace(each, measurement=found.get(each.candidate)) for each in known)


SKIP = "choose one, e.g. --engine torch --dtype bf16 --force-dtype"

PREPARING_S: Mapping[Engine, float] = {"eager": 1, "ipex": 8, "torch": 35, "openvino": 12}
"""Processor seconds of preparing one candidate of a BERT-sized model that is in no cache (docs/engines.md)."""


def _about(missing: Sequence[Candidate], seconds: float) -> str:
    """How long that takes, as a person says it; a deep model takes longer, a filled cache much less."""
    whole_s = sum(PREPARING_S[each.engine] + 2 * seconds for each in missing)
    return f"about {math.ceil(whole_s / 60)} min" if whole_s > 90 else f"about {math.ceil(whole_s / 10) * 10} s"


def decide(
    job: ModelJob, known: Sequence[CandidateResult], context: MeasureContext, *, seconds: float = SECONDS
) -> tuple[CandidateResult, ...]:
    """Let those run off that a first measurement found nearly equally fast; nothing is done where it is clear.

    Args:
        job: the model, the task and the sizes of a call.
        known: candidates with their measurements.
        context: where it will run.
        seconds: to time each in each of its turns.

    Raises:
        LaunchError: the model cannot be loaded, or the figures cannot be kept.
    """
    near = finalists(known)
    found = {each.candidate: each.measurement for each in known if each.measurement is not None}
    if not near or all(found[candidate].run_off for candidate in near):
        return tuple(known)
    context.tell(f"measuring again, each alone: {', '.join(candidate.name for candidate in near)}")
    found |= {each.candidate: each for each in measure_finals(context, job, near, seconds=seconds)}
    _store(job, context, None, seconds, {**_load(job, context, None, seconds), **found})
    return tuple(replace(each, measurement=found.get(each.candidate)) for each in known)


def _load(job: ModelJob, context: MeasureContext, layers: int | None, seconds: float) -> dict[Candidate, Measurement]:
    """What was measured before of these calls, and of what was calibrated on these very texts."""
    if not context.cache:
        return {}
    found = {
        calibrated: load_measurements(context.cache, _key(job, context, layers, seconds, calibrated), context.tell)
        for calibrated in (False, True)
    }
    return {
        each: row for calibrated, rows in found.items() for each, row in rows.items() if _calibrated(each) == calibrated
    }


def _store(
    job: ModelJob,
    context: MeasureContext,
    layers: int | None,
    seconds: float,
    found: Mapping[Candidate, Measurement],
) -> None:
    for calibrated in (False, True):
        rows = [row for each, row in found.items() if _calibrated(each) == calibrated]
        if rows and context.cache:
            store_measurements(context.cache, _key(job, context, layers, seconds, calibrated), rows)


def _calibrated(candidate: Candidate) -> bool:
    return candidate.scheme == "static"


def _key(
    job: ModelJob, context: MeasureContext, layers: int | None, seconds: float, calibrated: bool
) -> dict[str, object]:
    """Everything that decides over the figures; the texts only where they make the program."""
    texts = {"calibrated_on": text_fingerprint(job.text) or f"generated, seed {job.seed}"}
    dispatch = context.dispatch
    return {
        "ipexlaunch": ipexlaunch.__version__,  # an engine of ours may have become faster
        "cpu": context.topology.cpu_model,
        "aten": sorted(dispatch.aten),
        "onednn": sorted(dispatch.onednn),
        "ipex_flags": sorted(dispatch.ipex),
        **{
            name: version
            for name, version in asdict(context.software).items()
            if name != "adding" and (version or name != "zentorch")
        },
        "preloaded": sorted(context.job.libraries),
        "variables": dict(sorted(context.job.environment.items())),
        "threads": [instance.threads for instance in context.plan.chosen],
        "model": model_fingerprint(job.model),
        "checkpoint": job.checkpoint,
        "task": job.task,
        "batch_size": job.batch_size,
        "input_tokens": job.input_tokens,
        "new_tokens": job.new_tokens if job.task == "generate" else 0,
        "layers": layers,
        "seconds": seconds,
        **(texts if calibrated else {}),
    }
