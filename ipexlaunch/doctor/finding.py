"""Finding: one answer of the doctor, with the evidence it rests on and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

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
