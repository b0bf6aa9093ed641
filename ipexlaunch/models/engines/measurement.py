"""What was measured of a candidate on this host, and how far its answers may be from eager fp32's for its dtype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import fmean, median, quantiles
from typing import Any, Literal

from ipexlaunch.errors.beside_limit import beside_limit
from ipexlaunch.models.engines.candidate import Candidate, Dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSimilarity:
    """What a comparison with eager fp32 on the same input found; None where the task has no such figure."""

    cosine: float | None = None
    """Of each input's output with the reference's, the worst; -1 to 1."""
    agreement: float | None = None
    """Share of positions (of inputs, for classes) whose largest logit is the reference's; 0 to 1."""
    logit_error: float | None = None
    """|logits - reference| / |reference|, both with their mean over the vocabulary taken off; 0 is the same."""

    @property
    def words(self) -> str:
        """For tables: "cosine 0.9991", "agreement 97.0 %, logit error 0.012"."""
        cosine = None if self.cosine is None else f"cosine {self.cosine:.4f}"
        agreement = None if self.agreement is None else f"agreement {self.agreement:.1%}"
        error = None if self.logit_error is None else f"logit error {self.logit_error:.2g}"
        return ", ".join(filter(None, (cosine, agreement, error)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What answers must keep."""

    cosine: float
    agreement: float
    """Only for trained weights: random ones make logits so close together that rounding decides."""
    logit_error: float

    def applied(self, answers: AnswerSimilarity, *, random_weights: bool) -> dict[str, float]:
        """Those of its figures that answers are judged by, by their names.

        Args:
            answers: the figures that there are.
            random_weights: as for `judge`.
        """
        left_out = {"agreement"} if random_weights else set()
        names = [each.name for each in fields(self) if each.name not in left_out]
        return {name: getattr(self, name) for name in names if getattr(answers, name) is not None}


BOUNDS: dict[Dtype, Bound] = {
    "fp32": Bound(cosine=0.999, agreement=0.99, logit_error=0.01),
    "bf16": Bound(cosine=0.995, agreement=0.9, logit_error=0.1),
    "fp16": Bound(cosine=0.995, agreement=0.9, logit_error=0.1),
    "int8": Bound(cosine=0.995, agreement=0.85, logit_error=0.2),
    "int8-calibrated": Bound(cosine=0.995, agreement=0.85, logit_error=0.2),
    "int4": Bound(cosine=0.97, agreement=0.6, logit_error=0.8),
}
"""Cosines as people accept them of sentence embeddings. Those of logits tell rounding from wrong kernels: bf16 keeps 8
bits and int8 about 7, which by the last layer is an error of some per cent; int4 by plain rounding one of 20 to 50; a
kernel that is wrong gives about 1.4 (unrelated logits) and no agreement."""

LEAST: Dtype = "int8"
"""Whose bound answers must keep, too, where nobody asked for a dtype: logits that are off by a third tell int4 from a
wrong kernel, but nobody expects them who asks for what is fastest."""


_NAMES = {"cosine": "the worst cosine", "agreement": "agreement", "logit_error": "the logit error"}


def side_of(name: str) -> Literal["least", "most"]:
    """Whether a figure of a bound is what answers must have at least or at most."""
    return "most" if name == "logit_error" else "least"


def bound_of(dtype: Dtype, min_cosine: float | None) -> Bound:
    """What the answers of a dtype must keep.

    Args:
        dtype: of the candidate.
        min_cosine: the cosine that is asked for instead of the dtype's own; None for that.
    """
    return BOUNDS[dtype] if min_cosine is None else replace(BOUNDS[dtype], cosine=min_cosine)


def judge(
    answers: AnswerSimilarity,
    dtype: Dtype,
    *,
    random_weights: bool = False,
    min_cosine: float | None = None,
    asked_by: str = "",
) -> str:
    """What is wrong with the answers, with its numbers; "" where they keep the bound of a dtype.

    Args:
        answers: the figures. None at all, or one that is not a number, is wrong too.
        dtype: of the candidate that gave them, or the one whose bound is asked for.
        random_weights: the model was not trained, so which logit is the largest says little.
        min_cosine: as for `bound_of`.
        asked_by: who asks for that bound; "" for the dtype itself.
    """
    limited = f"{asked_by} takes" if asked_by else f"{dtype} must keep"
    asked = bound_of(dtype, min_cosine).applied(answers, random_weights=random_weights)
    if not asked:
        return "there is nothing to compare with eager fp32"
    found = {name: getattr(answers, name) for name in asked}
    wrong = [
        f"{_NAMES[name]} with eager fp32 is {beside_limit(found[name], limit)}, {limited} at {side_of(name)} {limit}"
        for name, limit in asked.items()
        if not (found[name] >= limit if side_of(name) == "least" else found[name] <= limit)  # so that NaN is wrong
    ]
    return "; ".join(wrong)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One candidate on the planned instances, all of them at work at once."""

    candidate: Candidate
    call_s: float | None = None
    """Median seconds of a call of one worker, corrected for drift; None where it did not run."""
    reference_s: float | None = None
    """The same of eager fp32, measured in turn with it."""
    items_per_s: float | None = None
    """Of all workers together."""
    reference_items_per_s: float | None = None
    calls: int = 0
    """That were timed, of all workers."""
    spread: float | None = None
    """How uncertain the rate is, as a share of it (`spread_of` several timings); None for one."""
    answers: AnswerSimilarity | None = None
    random_weights: bool = False
    """Whether the answers are those of a model that was never trained."""
    prepare_s: float = 0.0
    """Converting, compiling and the first call; the slowest worker's."""
    prepare_cpu_s: float | None = None
    """Processor seconds of the same, imports aside, of the worker that had most to do; None where it did not run."""
    memory_bytes: int | None = None
    """By which a worker's proportional set size grew until it was ready; of eager fp32, by which it grew when the
    model was loaded. None where the kernel does not tell it."""
    notes: tuple[str, ...] = ()
    """What the engine did otherwise than asked."""
    problem: str = ""
    """Why it did not run; "" where it did."""
    run_off: bool = False
    """Timed again beside the others that were nearly as fast, each in a process of its own."""

    @property
    def speed(self) -> float | None:
        """How many times eager fp32's rate; None where it did not run."""
        if not self.items_per_s or not self.reference_items_per_s:
            return None
        return self.items_per_s / self.reference_items_per_s


def from_row(row: Mapping[str, Any]) -> Measurement:
    """The measurement that `asdict` made a row of.

    Args:
        row: its fields, as JSON gives them.

    Raises:
        TypeError, KeyError, ValueError: it is no such row.
    """
    answers, candidate = row["answers"], Candidate(**row["candidate"])
    unknown = set(row) - {field.name for field in fields(Measurement)}
    if unknown:
        raise ValueError(f"a measurement has no {', '.join(sorted(unknown))}")
    return Measurement(
        **{
            **row,
            "candidate": candidate,
            "answers": None if answers is None else AnswerSimilarity(**answers),
            "notes": tuple(row["notes"]),
        }
    )


def merged(measurements: Sequence[Measurement]) -> Measurement:
    """One measurement of what several workers measured of the same candidate at the same time.

    Rates are added, since the workers share the host as they will in the run; the answers are the worst of all, and
    what did not run in one worker did not run.

    Args:
        measurements: one of each worker.
    """
    failed = next((each for each in measurements if each.problem), None)
    if failed is not None:
        return failed
    return Measurement(
        candidate=measurements[0].candidate,
        call_s=_mean(measurements, "call_s"),
        reference_s=_mean(measurements, "reference_s"),
        items_per_s=sum(_known(measurements, "items_per_s")) or None,
        reference_items_per_s=sum(_known(measurements, "reference_items_per_s")) or None,
        calls=sum(each.calls for each in measurements),
        spread=max(_known(measurements, "spread"), default=None),
        answers=_worst([each.answers for each in measurements if each.answers is not None]),
        random_weights=measurements[0].random_weights,
        prepare_s=max(each.prepare_s for each in measurements),
        prepare_cpu_s=max(_known(measurements, "prepare_cpu_s"), default=None),
        memory_bytes=max((each.memory_bytes for each in measurements if each.memory_bytes is not None), default=None),
        notes=tuple(dict.fromkeys(note for each in measurements for note in each.notes)),
    )


FEWEST_FOR_QUARTILES = 4


def middle_of(measurements: Sequence[Measurement]) -> Measurement:
    """One measurement of several of the same candidate, one after the other: the rate in the middle, and how far off.

    Args:
        measurements: those that ran, an odd number of them, or one that did not.
    """
    whole = merged(measurements)
    if whole.problem:
        return whole
    ordered = sorted(measurements, key=lambda each: each.speed or 0.0)
    middle = ordered[len(ordered) // 2]
    return replace(
        whole,
        call_s=middle.call_s,
        reference_s=middle.reference_s,
        items_per_s=middle.items_per_s,
        reference_items_per_s=middle.reference_items_per_s,
        spread=spread_of([each.speed or 0.0 for each in measurements]),
    )


def spread_of(values: Sequence[float]) -> float | None:
    """How far a figure that was taken several times may be off, as a share of its median; None where it was taken once.

    Half of the interquartile range; of two or three values half of their range.

    Args:
        values: above 0.
    """
    if len(values) < 2:
        return None
    if len(values) < FEWEST_FOR_QUARTILES:
        return (max(values) - min(values)) / (2 * median(values))
    lower, middle, upper = quantiles(values, n=4, method="inclusive")
    return (upper - lower) / (2 * middle)


def _known(values: Sequence[object], name: str) -> list[float]:
    return [found for each in values if (found := getattr(each, name)) is not None]


def _mean(values: Sequence[object], name: str) -> float | None:
    return fmean(known) if (known := _known(values, name)) else None


def _worst(answers: Sequence[AnswerSimilarity]) -> AnswerSimilarity | None:
    if not answers:
        return None
    return AnswerSimilarity(
        cosine=min(_known(answers, "cosine"), default=None),
        agreement=min(_known(answers, "agreement"), default=None),
        logit_error=max(_known(answers, "logit_error"), default=None),
    )
