"""Candidates as a table: what is expected of each, what was measured, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence

from ipexlaunch.drawings.rich_text import table_text
from ipexlaunch.drawings.words import wrapped
from ipexlaunch.engines.choose import Weighed, verdict

HEADS = ("candidate", "expected", "ms a call", "x fp32", "answers", "verdict")


def dtypes_table(known: Sequence[Weighed], *, width: int = 100, color: bool = False) -> str:
    """One line per candidate, then why some are slow, wrong or missing; no line is longer than `width`.

    Args:
        known: all candidates of one interpreter.
        width: columns of the terminal.
        color: with ANSI colours.
    """
    rows = [_row(each, known) for each in known]
    text = table_text(HEADS, rows, right=("ms a call", "x fp32"), width=width, color=color)
    remarks = [line for each in known for line in wrapped(_remark(each), width) if _remark(each)]
    notes = dict.fromkeys(note for each in known if each.measurement for note in each.measurement.notes)
    remarks += [line for note in notes for line in wrapped(f"note: {note}", width)]
    return text + ("\n" + "\n".join(remarks) + "\n" if remarks else "")


def _row(each: Weighed, known: Sequence[Weighed]) -> list[str]:
    measured = each.measurement
    call_ms = "" if measured is None or measured.call_s is None else f"{1e3 * measured.call_s:.3g}"
    speed = "" if each.speed is None else f"{each.speed:.2f}"
    answers = measured.answers.words if measured is not None and measured.answers is not None else ""
    return [each.candidate.name, each.expectation.fares, call_ms, speed, answers, verdict(each, known)]


def _remark(each: Weighed) -> str:
    """Why it is not what one would hope for; "" where it is."""
    expectation, measured = each.expectation, each.measurement
    trouble = each.trouble if measured is not None else ""
    words = [trouble] if trouble else []
    if expectation.fares in ("slow", "unavailable"):
        source = f" ({expectation.source})" if expectation.source else ""
        words.append(f"{expectation.reason}{source}")
    return f"{each.candidate.name}: {'; '.join(words)}" if words else ""
