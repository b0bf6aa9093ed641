"""Which candidate runs: the fastest that is measured and right, or the one asked for unless fp32 is faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import (
    DEFAULT_FORM,
    ENGINES,
    REFERENCE,
    Candidate,
    Engine,
    QuantizedForm,
    candidates_of,
)
from ipexlaunch.models.engines.candidate_result import CandidateResult
from ipexlaunch.models.engines.expectations import Software, expect
from ipexlaunch.models.engines.instruction_sets import Dispatch
from ipexlaunch.models.engines.measurement import BOUNDS
from ipexlaunch.models.engines.model_job import Task

EngineChoice = Literal["auto", "ipex", "torch", "openvino", "eager"]
DtypeChoice = Literal["auto", "fp32", "bf16", "fp16", "int8", "int8-calibrated", "int4"]

ENGINE_CHOICES: tuple[EngineChoice, ...] = ("auto", *ENGINES)

NOISE = 0.97
"""A rate of at least this share of another is not called slower: two measurements of one thing differ by as much."""

NEAR = 0.9
"""Of the fastest: a first measurement, in turn with fp32 and in one process with all others, is not surer than that."""

MOST_SPREAD = 0.3
"""As a share of a figure; where timings lie further apart than that, they still do not excuse more. What was timed once
may be off by as much: a call that takes seconds is."""

MOST_FINALISTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What runs, and why."""

    candidate: Candidate
    why: str
    kept: str = ""
    """Which accuracy bound its answers keep; "" where they were not compared."""
    left_out: tuple[str, ...] = ()
    """Lines that say why the others do not run: what is missing, the last line of who died, how fast they were."""


def expected(
    dispatch: Dispatch,
    software: Software,
    task: Task,
    engine: EngineChoice = "auto",
    form: QuantizedForm = DEFAULT_FORM,
    *,
    min_cosine: float | None = None,
    hidden_size: int | None = None,
) -> tuple[CandidateResult, ...]:
    """Every candidate of the asked engines with what is known of it, eager fp32 first.

    Args:
        dispatch: what each library may use of the processor.
        software: what the workers' interpreter has.
        task: what a call does.
        engine: one, or all.
        form: what is asked of integers.
        min_cosine: what answers must keep instead of the cosine of each dtype's bound; None for that.
        hidden_size: of the model; None where it is not known.

    Raises:
        RequestError: an engine does not take the form.
    """
    engines: tuple[Engine, ...] = ("eager", "ipex", "torch", "openvino") if engine == "auto" else (engine,)
    return tuple(
        CandidateResult(
            candidate=candidate, expectation=expect(candidate, dispatch, software, hidden_size), min_cosine=min_cosine
        )
        for each in engines
        for candidate in form.of(candidates_of(each, dispatch))
        if _has_use(candidate, task, software)
    )


def _has_use(candidate: Candidate, task: Task, software: Software) -> bool:
    """Whether a candidate is meant for a task: OpenVINO's int4 is for reading weights faster, a decoder's activations
    are not calibrated. A backend is nothing that anybody is told to install: it has a use where it is."""
    if candidate.backend:
        return task != "generate" and bool(software.zentorch)
    if candidate.engine != "openvino":
        return True
    return {"int4": task == "generate", "int8-calibrated": task != "generate"}.get(candidate.dtype, True)


def left_out(known: Sequence[CandidateResult], dtype: DtypeChoice) -> tuple[str, ...]:
    """Why the others do not run: each that could not be tried or gave wrong answers, by its reason, and who is slower.

    What was not tried because fp32 is known to be faster is not among them: it could have been.

    Args:
        known: candidates of the asked engines, with their measurements.
        dtype: one, or auto.
    """
    lines: dict[tuple[str, str], list[str]] = {}
    for each in known:
        trouble = each.objection if dtype == "auto" else each.trouble
        if dtype not in ("auto", each.candidate.dtype) or not trouble:
            continue
        if each.measurement is None and each.expectation.fares != "unavailable":
            continue
        what = "not chosen" if each.measurement and not each.measurement.problem else "could not be tried"
        lines.setdefault((what, trouble), []).append(each.candidate.name)
    told = [f"{what}: {', '.join(names)}: {trouble}" for (what, trouble), names in lines.items()]
    ran = sorted((each for each in known if _takes(each, dtype)), key=_slowness)
    figures = ", ".join(f"{each.candidate.name} {each.rate:.2f}" for each in ran if each != _fastest(ran))
    if figures:
        told.append(f"measured, and not faster: {figures} times the rate of eager fp32")
    return tuple(told)


def choose(
    known: Sequence[CandidateResult], engine: EngineChoice, dtype: DtypeChoice, *, force: bool = False
) -> Choice:
    """The candidate that runs.

    Args:
        known: candidates of the asked engines, with their measurements.
        engine: for the messages.
        dtype: auto takes the fastest whose answers keep their bound, and that of int8 at least.
        force: take the asked dtype though it is slower than fp32, or its answers are off.

    Raises:
        RequestError: nothing of the kind can run here, or what was asked for is slower than fp32 or wrong.
    """
    asked = [each for each in known if dtype in ("auto", each.candidate.dtype)]
    ran = [each for each in asked if each.speed is not None]
    if not ran:
        raise _nothing_runs(known, asked, engine, dtype)
    right = [each for each in ran if _takes(each, dtype)]
    if not right and not force:
        found = "; ".join(f"{each.candidate.name}: {each.objection}" for each in ran)
        raise RequestError(_named(engine, dtype), found, _advice(known, dtype))
    best = _fastest(right or ran)
    plain = [each for each in known if each.candidate.dtype == "fp32" and each.right]
    if dtype != "auto" and plain and not force and best.rate < NOISE * _fastest(plain).rate:
        raise _slower(best, _fastest(plain), known, engine, dtype)
    why = f"the fastest of {len(ran)} measured here" if dtype == "auto" else "asked for"
    times = f"{best.rate:.2f} times the rate of eager fp32"
    return Choice(candidate=best.candidate, why=f"{why}, {times}", kept=best.kept, left_out=left_out(known, dtype))


def _takes(each: CandidateResult, dtype: DtypeChoice) -> bool:
    """Whether a candidate that ran is one of those among which the fastest is chosen."""
    return each.for_auto if dtype == "auto" else each.right and each.candidate.dtype == dtype


def verdict(each: CandidateResult, known: Sequence[CandidateResult]) -> str:
    """In a few words what becomes of a candidate: fastest, ok, if asked for, slower than fp32, or why it cannot run.

    Args:
        each: one of `known`.
        known: all candidates of one interpreter.
    """
    if each.measurement is None:
        return "unavailable" if each.expectation.fares == "unavailable" else "not measured"
    if each.measurement.problem:
        return "does not run"
    if each.wrong:
        return "wrong answers"
    if each.for_auto and each == _fastest([other for other in known if other.for_auto]):
        return "fastest"
    plain = [other for other in known if other.right and other.candidate.dtype == "fp32"]
    way = (each.candidate.engine, each.candidate.backend)
    own = [other for other in plain if (other.candidate.engine, other.candidate.backend) == way] or plain
    if own and each.rate < NOISE * _fastest(own).rate:
        return "slower than fp32"
    return "if asked for" if each.coarse else "ok"


def finalists(known: Sequence[CandidateResult]) -> tuple[Candidate, ...]:
    """Who should be timed again before one is called the fastest, the fastest first; none where it is clear.

    Args:
        known: candidates with their measurements.
    """
    right = sorted((each for each in known if each.for_auto), key=_slowness)
    if not right:
        return ()
    level = NEAR * right[0].rate * (1 - _spread(right[0]))
    near = [each for each in right if each.rate * (1 + _spread(each)) >= level][:MOST_FINALISTS]
    return tuple(each.candidate for each in near) if len(near) > 1 else ()


def _spread(each: CandidateResult) -> float:
    """How far its figure may be off; it is what a busy host does to short timings."""
    if each.measurement is None or each.candidate == REFERENCE:  # which is 1 by definition
        return 0.0
    known = each.measurement.spread
    return MOST_SPREAD if known is None else min(known, MOST_SPREAD)


def _fastest(candidates: Sequence[CandidateResult]) -> CandidateResult:
    """Among those that are near the largest figure, of a run-off where there was one: its figures are the better.

    Of two that are equally fast as far as anybody can tell, it is the one whose answers keep the stricter bound.
    """
    largest = max(each.rate for each in candidates)
    near = [each for each in candidates if each.rate >= NEAR * largest]
    ran_off = [each for each in near if each.measurement is not None and each.measurement.run_off]
    judged = ran_off or near
    level = NOISE * max(each.rate for each in judged)
    alike = [each for each in judged if each.rate >= level]
    return min(alike, key=lambda each: (-BOUNDS[each.candidate.dtype].cosine, _slowness(each)))


def _slowness(each: CandidateResult) -> float:
    return -each.rate


def call_ms(each: CandidateResult, known: Sequence[CandidateResult]) -> float | None:
    """Milliseconds of a call as if all had been measured at one moment: drift between sessions is taken out.

    Args:
        each: one of `known`.
        known: all candidates of one interpreter and one shape.

    Returns:
        None where it did not run.
    """
    bases = [other.measurement.reference_s for other in known if other.measurement and other.measurement.reference_s]
    return 1e3 * median(bases) / each.speed if each.speed else None


def _call(each: CandidateResult, known: Sequence[CandidateResult]) -> str:
    return f"{call_ms(each, known) or 0:.3g}"


def _named(engine: EngineChoice, dtype: DtypeChoice) -> str:
    what = "any dtype" if dtype == "auto" else dtype
    return f"run {what} on {'any engine' if engine == 'auto' else engine}"


def _nothing_runs(
    known: Sequence[CandidateResult], asked: Sequence[CandidateResult], engine: EngineChoice, dtype: DtypeChoice
) -> RequestError:
    named: dict[str, list[str]] = {}
    for each in asked:
        named.setdefault(each.trouble, []).append(each.candidate.name)
    if len(named) == 1 and len(asked) > 1:
        found = next(iter(named))  # what is true of all, such as a package that is missing, is said once
    else:
        found = "; ".join(f"{', '.join(names)}: {trouble}" for trouble, names in named.items())
    has = ", ".join(dict.fromkeys(each.candidate.dtype for each in known))
    found = found or f"engine {engine} has no {dtype} for this task, only {has}"
    return RequestError(_named(engine, dtype), found, "`ipexlaunch dtypes` shows what runs here")


def _slower(
    best: CandidateResult,
    plain: CandidateResult,
    known: Sequence[CandidateResult],
    engine: EngineChoice,
    dtype: DtypeChoice,
) -> RequestError:
    ratio = plain.rate / (best.speed or 1)
    on = best.candidate.engine if engine == "auto" else engine
    found = (
        f"{best.candidate.name} is {ratio:.3g} times slower than {plain.candidate.name} here "
        f"({_call(best, known)} against {_call(plain, known)} ms a call)"
    )
    return RequestError(f"run {dtype} on {on}", found, _advice(known, dtype))


def _advice(known: Sequence[CandidateResult], dtype: DtypeChoice) -> str:
    """The fastest right candidate of another dtype, with its figure."""
    others = [each for each in known if each.for_auto and each.candidate.dtype != dtype]
    force = "" if dtype == "auto" else "--force-dtype"
    if not others:
        return f"use {force}" if force else "use another --python"
    best = _fastest(others)
    use = f"use --engine {best.candidate.engine} --dtype {best.candidate.dtype} ({_call(best, known)} ms)"
    return f"{use}, or {force}" if force else use
