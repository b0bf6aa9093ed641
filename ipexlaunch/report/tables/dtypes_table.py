"""Candidates as a table: what is expected of each, what was measured, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ipexlaunch.machine.text_table import table_text
from ipexlaunch.machine.wording import wrapped
from ipexlaunch.models.engines.accuracy import AnswerSimilarity
from ipexlaunch.models.engines.choose import Weighed, call_ms, verdict

DTYPES_HEADS = ("candidate", "expected", "ms a call", "x fp32", "answers", "verdict")


def dtypes_table(known: Sequence[Weighed], *, width: int = 100, color: bool = False) -> str:
    """One line per candidate, then why some are slow, wrong or missing; no line is longer than `width`.

    Args:
        known: all candidates of one interpreter.
        width: columns of the terminal.
        color: with ANSI colours.
    """
    rows = [_dtype_row(each, known) for each in known]
    text = table_text(DTYPES_HEADS, rows, right=("ms a call", "x fp32", "answers"), width=width, color=color)
    remarks = [line for remark in _dtype_remarks(known) for line in wrapped(remark, width)]
    return text + ("\n" + "\n".join(remarks) + "\n" if remarks else "")


def _dtype_row(each: Weighed, known: Sequence[Weighed]) -> list[str]:
    measured = each.measurement
    milliseconds = call_ms(each, known)
    took = "" if milliseconds is None else _three_digits(milliseconds)
    speed = "" if each.speed is None else f"{each.speed:.2f}"
    answers = "" if measured is None else _figures(measured.answers)
    return [each.candidate.name, each.expectation.fares, took, speed, answers, verdict(each, known)]


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


def _dtype_remarks(known: Sequence[Weighed]) -> Iterator[str]:
    """What the figures are, then why candidates are not what one would hope for, those of one reason together."""
    answers = [each.measurement.answers for each in known if each.measurement and each.measurement.answers]
    if any(each.cosine is not None for each in answers):
        yield "answers: the worst cosine of an input's output with that of eager fp32"
    elif answers:
        yield "answers: share of choices that are those of eager fp32, and the relative error of the logits"
    by_reason: dict[str, list[str]] = {}
    for each in known:
        for reason in _reasons(each):
            by_reason.setdefault(reason, []).append(each.candidate.name)
    for reason, names in by_reason.items():
        yield f"{', '.join(names)}: {reason}"
    for note in dict.fromkeys(note for each in known if each.measurement for note in each.measurement.notes):
        yield f"note: {note}"


def _reasons(each: Weighed) -> Iterator[str]:
    expectation = each.expectation
    if each.measurement is not None and each.trouble:
        yield each.trouble
    if expectation.fares in ("slow", "unavailable"):
        yield expectation.reason + (f" ({expectation.source})" if expectation.source else "")
