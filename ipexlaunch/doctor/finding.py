"""Finding: one answer of the doctor, with the evidence it rests on and what to do about it.

The doctor's findings as text for people and as JSON for machines.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, TextIO

from ipexlaunch.machine.topology import group_by
from ipexlaunch.machine.wording import counted

if TYPE_CHECKING:
    from rich.text import Text

Severity = Literal["ok", "note", "unknown", "warning", "problem"]

SEVERITIES: tuple[Severity, ...] = ("ok", "note", "unknown", "warning", "problem")
"""From harmless to costly.

ok: as it should be. note: worth knowing, nothing need be done. unknown: what decides it could not be read.
warning: likely costs speed. problem: costs speed for certain, or stops a run.
"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read, and where: a file, a variable, or a system call."""

    where: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One answer. `examine` puts the name of the check in."""

    check: str = ""
    severity: Severity
    message: str
    """One sentence without its full stop."""
    evidence: tuple[Evidence, ...] = ()
    remedy: str = ""
    """What would work, as a sentence without its full stop; empty where nothing need be done."""
    command: str = ""
    """A line that can be pasted into a shell; empty where there is no such line."""


def worst_severity(findings: Iterable[Finding]) -> Severity:
    """The most costly severity among the findings; "ok" where there are none."""
    return max((finding.severity for finding in findings), key=SEVERITIES.index, default="ok")


def finding(severity: Severity, message: str, *evidence: Evidence, remedy: str = "", command: str = "") -> Finding:
    """A finding in the order in which it is read: how bad, what, seen where, what to do."""
    return Finding(severity=severity, message=message, evidence=evidence, remedy=remedy, command=command)


SCHEMA = "ipexlaunch/doctor/1"

MARKS: dict[Severity, str] = {"problem": "✗", "warning": "!", "unknown": "?", "note": "·", "ok": "✓"}
ASCII_MARKS: dict[Severity, str] = {"problem": "x", "warning": "!", "unknown": "?", "note": "-", "ok": "+"}
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
    "note": "Notes: worth knowing",
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
        "worst": worst_severity(findings),
        "counts": {severity: counts[severity] for severity in reversed(SEVERITIES)},
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(document, indent=1) + "\n"


def print_findings(findings: Sequence[Finding], stream: TextIO, width: int, color: bool) -> None:
    """Print the findings, the costly ones first.

    Args:
        findings: in any order.
        stream: where to.
        width: in columns.
        color: whether to colour.
    """
    from rich.console import Console

    console = Console(
        file=stream,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        emoji=False,
        markup=False,
    )
    encoding = stream.encoding or "utf-8"
    marks = MARKS if _encodable("".join(MARKS.values()), encoding) else ASCII_MARKS
    columns = min(max(width, NARROWEST), WIDEST)
    cleaned = [_clean(finding, encoding) for finding in findings]
    for severity in reversed(SEVERITIES):
        chosen = [finding for finding in cleaned if finding.severity == severity]
        if not chosen:
            continue
        mark = marks[severity]
        if severity == "unknown":
            together = group_by(chosen, lambda finding: finding.evidence).values()  # that lack the same file or fact
            lines = [line for group in together for line in _unknown(group, mark, columns)]
        else:
            names = max(len(finding.check) for finding in chosen)
            lines = [line for finding in chosen for line in _lines(finding, mark, columns, names)]
        for line in [_text((TITLES[severity], "bold")), *lines, _text()]:
            console.print(line, soft_wrap=True)
    console.print(_text((summary(findings), "bold")), soft_wrap=True)


def _clean(finding: Finding, encoding: str) -> Finding:
    """The finding in characters that the stream has; what a file or variable holds cannot steer the terminal."""

    def clean(text: str) -> str:
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        return shown.encode(encoding, "backslashreplace").decode(encoding)

    return replace(
        finding,
        message=clean(finding.message),
        evidence=tuple(Evidence(clean(seen.where), clean(seen.value)) for seen in finding.evidence),
        remedy=clean(finding.remedy),
        command=clean(finding.command),
    )


def _encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def summary(findings: Sequence[Finding]) -> str:
    """ "1 problem, 2 warnings, 3 notes, 40 in order"."""
    counts = Counter(finding.severity for finding in findings)
    never_many = {"ok": "in order", "unknown": "unknown"}
    return ", ".join(
        counted(counts[severity], never_many.get(severity, severity), never_many.get(severity, ""))
        for severity in reversed(SEVERITIES)
        if counts[severity]
    )


def _lines(finding: Finding, mark: str, columns: int, names: int) -> Iterator[Text]:
    """The lines of one finding; a command is never broken, so that it can be copied."""
    head = f"{mark} {finding.check:{names}}  "
    style = STYLES[finding.severity]
    evidence = [f"{seen.where}: {seen.value}" for seen in finding.evidence]
    if finding.severity == "ok":
        del evidence[1:]
        if len(head) + len(finding.message) + len(evidence[0]) + 4 <= columns:
            yield _text((head, style), (finding.message, ""), (f"  [{evidence[0]}]", "dim"))
            return
    for number, line in enumerate(_wrapped(finding.message, columns - len(head))):
        yield _text((head, style), (line, "")) if number == 0 else _text((" " * len(head) + line, ""))
    for text in evidence[:SHOWN_EVIDENCE]:
        yield from _labelled("read", text, columns, "dim")
    if len(evidence) > SHOWN_EVIDENCE:
        more = f"and {len(evidence) - SHOWN_EVIDENCE} more (--format json shows them)"
        yield from _labelled("", more, columns, "dim")
    if finding.severity == "ok":
        return
    if finding.remedy:
        yield from _labelled("do", finding.remedy, columns, "")
    if finding.command:
        yield _text((f"{INDENT}      $ {finding.command}", "bold"))


def _unknown(group: Sequence[Finding], mark: str, columns: int) -> Iterator[Text]:
    """One finding as any other, several as the list of their names."""
    if len(group) == 1:
        yield from _lines(group[0], mark, columns, len(group[0].check))
        return
    for number, line in enumerate(_wrapped(", ".join(finding.check for finding in group), columns - len(mark) - 1)):
        yield _text((f"{mark if number == 0 else ' '} {line}", STYLES["unknown"]))
    for seen in group[0].evidence[:SHOWN_EVIDENCE]:
        yield from _labelled("read", f"{seen.where}: {seen.value}", columns, "dim")


def _labelled(label: str, text: str, columns: int, style: str) -> Iterator[Text]:
    head = f"{INDENT}{label + ':' if label else '':6}"
    for number, line in enumerate(_wrapped(text, columns - len(head))):
        yield _text((head if number == 0 else " " * len(head), "dim"), (line, style))


def _wrapped(text: str, columns: int) -> list[str]:
    """Lines of at most so many columns; a path that is longer stays whole."""
    return textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False)


def _text(*parts: tuple[str, str]) -> Text:
    from rich.text import Text

    return Text.assemble(*parts)
