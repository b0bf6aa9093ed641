"""The doctor's findings as text for people and as JSON for machines."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from ipexlaunch.findings.finding import SEVERITIES, Finding, Severity, worst

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "ipexlaunch/doctor/1"

MARKS: dict[Severity, str] = {"problem": "✗", "warning": "!", "unknown": "?", "note": "·", "ok": "✓"}
STYLES: dict[Severity, str] = {
    "problem": "bold red",
    "warning": "yellow",
    "unknown": "magenta",
    "note": "cyan",
    "ok": "green",
}
TITLES: dict[Severity, str] = {
    "problem": "Problems: these cost speed for certain, or stop a run",
    "warning": "Warnings: these likely cost speed",
    "unknown": "Unknown: what decides these could not be read",
    "note": "Notes: worth knowing, nothing need be done",
    "ok": "In order",
}

SHOWN_EVIDENCE = 4
"""Pieces of evidence that a finding shows as text; JSON has them all."""

NARROWEST, WIDEST = 60, 160
INDENT = " " * 4


def as_json(findings: Sequence[Finding]) -> str:
    """The findings as a document: schema, the worst severity, how many of each, and every finding in order."""
    counts = Counter(finding.severity for finding in findings)
    document = {
        "schema": SCHEMA,
        "worst": worst(findings),
        "counts": {severity: counts[severity] for severity in reversed(SEVERITIES)},
        "findings": [
            {
                "check": finding.check,
                "severity": finding.severity,
                "message": finding.message,
                "evidence": [{"where": seen.where, "value": seen.value} for seen in finding.evidence],
                "remedy": finding.remedy,
                "command": finding.command,
            }
            for finding in findings
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def print_findings(findings: Sequence[Finding], file: TextIO, width: int | None = None) -> None:
    """Print the findings, the costly ones first; colour and width are those of the terminal.

    Args:
        findings: in any order.
        file: where to.
        width: columns; None asks the terminal.
    """
    from rich.console import Console

    console = Console(file=file, width=width, highlight=False, emoji=False, markup=False)
    columns = min(max(console.width, NARROWEST), WIDEST)
    for severity in reversed(SEVERITIES):
        chosen = [finding for finding in findings if finding.severity == severity]
        if not chosen:
            continue
        _line(console, TITLES[severity], "bold")
        names = max(len(finding.check) for finding in chosen)
        layout = _in_order if severity == "ok" else _lines
        for finding in chosen:
            for text, style in layout(finding, columns, names):
                _line(console, text, style)
        _line(console, "")
    _line(console, summary(findings), "bold")


def summary(findings: Sequence[Finding]) -> str:
    """ "1 problem, 2 warnings, 3 notes, 40 in order"."""
    counts = Counter(finding.severity for finding in findings)
    nouns = {"problem": "problem", "warning": "warning", "note": "note"}
    parts = []
    for severity in reversed(SEVERITIES):
        number = counts[severity]
        if number and severity in nouns:
            parts.append(f"{number} {nouns[severity]}{'' if number == 1 else 's'}")
        elif number:
            parts.append(f"{number} {'in order' if severity == 'ok' else 'unknown'}")
    return ", ".join(parts)


def _lines(finding: Finding, columns: int, names: int) -> Iterator[tuple[str, str]]:
    """(text, style) of each line; a command is never broken, so that it can be copied."""
    head = f"{MARKS[finding.severity]} {finding.check:{names}}  "
    yield from _wrapped(head, finding.message, columns, STYLES[finding.severity])
    shown = finding.evidence if finding.severity != "ok" else finding.evidence[:1]
    for seen in shown[:SHOWN_EVIDENCE]:
        yield from _wrapped(INDENT + "read: ", f"{seen.where} = {seen.value}", columns, "dim")
    if len(shown) > SHOWN_EVIDENCE:
        yield f"{INDENT}      and {len(shown) - SHOWN_EVIDENCE} more (--format json shows them)", "dim"
    if finding.remedy:
        yield from _wrapped(INDENT + "do:   ", finding.remedy, columns, "")
    if finding.command:
        yield f"{INDENT}      $ {finding.command}", "bold"


def _in_order(finding: Finding, columns: int, names: int) -> Iterator[tuple[str, str]]:
    """What needs nothing done: one line where it fits, the evidence behind the message."""
    head = f"{MARKS[finding.severity]} {finding.check:{names}}  "
    evidence = "; ".join(f"{seen.where} = {seen.value}" for seen in finding.evidence[:1])
    if len(head) + len(finding.message) + len(evidence) + 4 <= columns:
        yield f"{head}{finding.message}  ({evidence})", STYLES[finding.severity]
        return
    yield from _wrapped(head, finding.message, columns, STYLES[finding.severity])
    yield from _wrapped(" " * len(head), f"({evidence})", columns, "dim")


def _wrapped(head: str, text: str, columns: int, style: str) -> Iterator[tuple[str, str]]:
    lines = textwrap.wrap(
        text,
        columns,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        yield line, style


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style or None, soft_wrap=True)
