"""What is expected and measured of each candidate, as tables for people: of one environment, and of several as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from ipexlaunch.documents.visible_text import wrapped
from ipexlaunch.machine.wording import table_text
from ipexlaunch.models.engines.candidate_result import CandidateResult
from ipexlaunch.models.engines.choose import call_ms, verdict
from ipexlaunch.models.engines.expectations import ABSENT
from ipexlaunch.models.engines.measurement import AnswerSimilarity, Measurement

DTYPES_HEADS = ("candidate", "expected", "ms a call", "x fp32", "answers", "ready s", "MB", "verdict")

RANKING_HEADS = ("candidate", "environment", "ms a call", "x fp32", "answers", "ready s", "MB", "verdict")

_RIGHT = ("ms a call", "x fp32", "answers", "ready s", "MB")

_TEXTS = ("candidate", "environment", "verdict")
_DISPENSABLE = ("expected", "MB", "ready s", "answers", "ms a call")
"""What a narrow terminal goes without, in this order; --format json has it all."""

_COSTS = (
    "ready s: processor seconds of converting, compiling and the first call, imports aside; what lies in a cache costs "
    "next to none of it",
    "MB: what a worker's memory grew by (PSS, so a mapped file of weights counts in parts); of eager fp32, the model",
)


def dtypes_table(known: Sequence[CandidateResult], *, width: int = 100, color: bool = False) -> str:
    """One line per candidate, then why some are slow, wrong or missing; no line is longer than `width`.

    Args:
        known: all candidates of one interpreter.
        width: columns of the terminal.
        color: with ANSI colours.
    """
    rows = [_dtype_row(each, known) for each in known]
    text = table_text(
        DTYPES_HEADS, rows, right=_RIGHT, texts=_TEXTS, dispensable=_DISPENSABLE, width=width, color=color
    )
    remarks = [line for remark in _dtype_remarks(known) for line in wrapped(remark, width)]
    return text + ("\n" + "\n".join(remarks) + "\n" if remarks else "")


def _dtype_row(each: CandidateResult, known: Sequence[CandidateResult]) -> list[str]:
    measured = each.measurement
    milliseconds = call_ms(each, known)
    took = "" if milliseconds is None else _three_digits(milliseconds)
    speed = "" if each.speed is None else f"{each.speed:.2f}"
    answers = "" if measured is None else _figures(measured.answers)
    return [each.candidate.name, each.expectation.fares, took, speed, answers, *_cost(measured), verdict(each, known)]


def _cost(measured: Measurement | None) -> tuple[str, str]:
    """Processor seconds until it was ready, and megabytes."""
    spent, memory = (None, None) if measured is None else (measured.prepare_cpu_s, measured.memory_bytes)
    return "" if spent is None else f"{spent:.1f}", "" if memory is None else f"{memory / 1e6:,.0f}"


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def _figures(answers: AnswerSimilarity | None) -> str:
    """The worst cosine, or agreement and logit error."""
    if answers is None:
        return ""
    if answers.cosine is not None:
        return f"{answers.cosine:.4f}"
    agreement = "" if answers.agreement is None else f"{answers.agreement:.0%}"
    error = "" if answers.logit_error is None else f"{answers.logit_error:.2g}"
    return ", ".join(filter(None, (agreement, error)))


def _dtype_remarks(known: Sequence[CandidateResult]) -> Iterator[str]:
    """What the figures are, then why candidates are not what one would hope for, those of one reason together."""
    answers = [each.measurement.answers for each in known if each.measurement and each.measurement.answers]
    if any(each.cosine is not None for each in answers):
        yield "answers: the worst cosine of an input's output with that of eager fp32"
    elif answers:
        yield "answers: share of choices that are those of eager fp32, and the relative error of the logits"
    if any(each.measurement and each.measurement.prepare_cpu_s is not None for each in known):
        yield from _COSTS
    by_reason: dict[str, list[str]] = {}
    for each in known:
        for reason in _reasons(each):
            by_reason.setdefault(reason, []).append(each.candidate.name)
    for reason, names in by_reason.items():
        yield f"{', '.join(names)}: {reason}"
    for note in dict.fromkeys(note for each in known if each.measurement for note in each.measurement.notes):
        yield f"note: {note}"


def _reasons(each: CandidateResult) -> Iterator[str]:
    expectation = each.expectation
    if each.measurement is not None and each.objection:
        yield each.objection
    if expectation.fares in ("slow", "unavailable") or (expectation.fares == "ok" and expectation.source):
        yield expectation.reason + (f" ({expectation.source})" if expectation.source else "")


class Ranked(NamedTuple):
    """A candidate in one environment, among those of all."""

    environment: str
    """The workers' interpreter."""
    each: CandidateResult
    call_ms: float | None
    """None where it did not run."""
    verdict: str
    """fastest: of all."""


def ranking(tables: Mapping[str, Sequence[CandidateResult]]) -> list[Ranked]:
    """The candidates of several environments, the fastest right one first, then the wrong ones, then what did not run.

    Milliseconds of a call are compared, for eager fp32 is another one with every torch.

    Args:
        tables: the workers' interpreter to its candidates, all of one shape of call.
    """
    rows = [
        Ranked(python, each, call_ms(each, known), verdict(each, known))
        for python, known in tables.items()
        for each in known
    ]
    rows.sort(key=lambda row: (row.call_ms is None, not row.each.right, row.call_ms or 0.0))
    first = next((row for row in rows if row.each.for_auto), None)
    return [
        row._replace(verdict="fastest there") if row.verdict == "fastest" and row is not first else row for row in rows
    ]


def ranking_table(tables: Mapping[str, Sequence[CandidateResult]], *, width: int = 100, color: bool = False) -> str:
    """One line per candidate that ran, of all environments, fastest first; then what is to be said of them and others.

    Args:
        tables: as for `ranking`.
        width: columns of the terminal.
        color: with ANSI colours.
    """
    ranked = ranking(tables)
    names = short_names(tables)
    rows = [_ranking_row(row, names[row.environment]) for row in ranked if row.call_ms is not None]
    text = table_text(
        RANKING_HEADS, rows, right=_RIGHT, texts=_TEXTS, dispensable=_DISPENSABLE, width=width, color=color
    )
    remarks = [line for remark in _ranking_remarks(ranked) for line in wrapped(remark, width)]
    return text + ("\n" + "\n".join(remarks) + "\n" if remarks else "")


def _ranking_row(row: Ranked, environment: str) -> list[str]:
    took = "" if row.call_ms is None else _three_digits(row.call_ms)
    speed = "" if row.each.speed is None else f"{row.each.speed:.2f}"
    measured = row.each.measurement
    answers = "" if measured is None else _figures(measured.answers)
    return [row.each.candidate.name, environment, took, speed, answers, *_cost(measured), row.verdict]


def _ranking_remarks(ranked: Sequence[Ranked]) -> Iterator[str]:
    """As of one environment; what one of them cannot run and another can needs no reason."""
    ran = {row.each.candidate.name for row in ranked if row.call_ms is not None}
    told = [row.each for row in ranked if row.call_ms is not None or row.each.candidate.name not in ran]
    told.sort(key=lambda each: ABSENT in each.expectation.reason)  # who has the package knows better
    by_name = {each.candidate.name: each for each in reversed(told)}
    yield "x fp32: of the same environment; only milliseconds can be compared with another one's"
    yield from _dtype_remarks(list(by_name.values()))


def short_names(pythons: Iterable[str]) -> dict[str, str]:
    """What interpreters are called in a table: the folders of their environments, where these differ.

    Args:
        pythons: their paths.
    """
    paths = list(pythons)
    folders = {path: PurePosixPath(path).parent.parent.name for path in paths}
    unlike = len(set(folders.values())) == len(paths) and all(folders.values())
    return folders if unlike else {path: path for path in paths}
