"""The parts of hosts that began together -> one total, and how precisely it is known. JSON: schema ipexlaunch/group/1.

No clock is common to them. The first host notes when it sends a host the start and when the answer is there, so that
host began between the two; how long it worked it has measured by its own clock. All began to work when the first of
them did, and were done when the last one was: both moments lie between bounds, and so does the rate. Definitions:
docs/several-hosts.md.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ipexlaunch.documents.codec import dump_json, read_value, to_plain
from ipexlaunch.documents.fields import OMITTED, AnyInt, NonNegativeInt, Seconds
from ipexlaunch.documents.text import parse_document
from ipexlaunch.measure.rates import Rate
from ipexlaunch.measure.report import Report

WIDTH_NOTED = 0.01
"""A total that is known worse than this is told as such."""

TEXTS_KEPT = 10
"""Reasons, or notes, of one host."""

LONGEST_TEXT = 400
"""Characters of one of them."""

COMPARED_FACTS = ("engine", "dtype")
"""What all hosts should have chosen alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPart:
    """What one host did, by its own clock."""

    rank: NonNegativeInt
    name: str
    instances: NonNegativeInt = 0
    items: NonNegativeInt = 0
    tokens: NonNegativeInt = 0
    seconds: Seconds | None = None
    """From its start to its last completion; None where it was given no start, or counted nothing."""
    rate: Rate | None = None
    """Items per second, its own."""
    steady: Rate | None = None
    """While all workers of this host worked."""
    earliest_s: Seconds | None = None
    """It began no sooner, in seconds from the first host's own start; None where it never answered that it began."""
    latest_s: Seconds | None = None
    """It began no later."""
    valid: bool = False
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    exit_code: AnyInt | None = None
    """Of its launcher; None where nobody knows."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Engine and numbers of a model, where its workers told them."""

    @property
    def label(self) -> str:
        """ "host h2 (rank 1)"."""
        return label_of(self.name, self.rank)


def label_of(name: str, rank: int) -> str:
    """How a host is named in messages: "host h2 (rank 1)".

    Args:
        name: its own; "" where it is not known.
        rank: in the group.
    """
    return f"host {name} (rank {rank})" if name else f"rank {rank}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTotal:
    """What all hosts did together."""

    rate: Rate
    """Items per second over the longest time that it can have taken: the true rate is no lower."""
    highest_rate: Rate
    """... over the shortest: and no higher."""
    width: float
    """How much higher, as a share of the rate."""
    items: NonNegativeInt
    tokens_per_second: float | None = field(default=None, metadata=OMITTED)
    seconds: Seconds
    """The longest time, from the first start to the last completion."""
    least_seconds: Seconds
    naive_sum: Rate
    """Sum of the hosts' own rates, each over its own time; for comparison only."""
    unit: str = "items/s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The answer of a run over several hosts."""

    valid: bool
    reasons: tuple[str, ...]
    """Why it is INVALID."""
    warnings: tuple[str, ...] = ()
    size: NonNegativeInt
    """How many hosts there should be."""
    job: str = ""
    """What all of one start have in common."""
    total: GroupTotal | None = None
    """None where some host never began, or nothing was counted."""
    hosts: tuple[HostPart, ...]
    """By rank, as far as they are known."""
    program: tuple[str, ...] = ()
    written: str = ""
    ipexlaunch: str = ""


def part_of(report: Report, rank: int, name: str) -> HostPart:
    """What a host's report says of it.

    Args:
        report: of the host.
        rank: of the host.
        name: of the host.
    """
    throughput = report.throughput
    began = throughput.start == "common"
    return HostPart(
        rank=rank,
        name=name,
        instances=len(report.instances),
        items=throughput.items,
        tokens=throughput.tokens,
        seconds=throughput.seconds if began else None,
        rate=throughput.makespan if began else None,
        steady=throughput.steady if began else None,
        valid=report.valid,
        reasons=_few(report.reasons),
        warnings=_few(report.warnings),
        exit_code=report.exit_code,
        facts={name: str(report.facts[name])[:LONGEST_TEXT] for name in COMPARED_FACTS if name in report.facts},
    )


def _few(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(text[:LONGEST_TEXT] for text in texts[:TEXTS_KEPT])


def total_of(parts: Sequence[HostPart]) -> GroupTotal | None:
    """The total of hosts that all began together; None where one did not, or none counted anything.

    Args:
        parts: of all hosts; the first host's bounds are both 0.
    """
    spans = [
        (part.earliest_s, part.latest_s, part.seconds)
        for part in parts
        if part.earliest_s is not None and part.latest_s is not None and part.seconds is not None
    ]
    items = sum(part.items for part in parts)
    if not spans or len(spans) < len(parts) or not items:
        return None
    longest = max(latest + took for _, latest, took in spans) - min(earliest for earliest, _, _ in spans)
    shortest = max(earliest + took for earliest, _, took in spans) - min(latest for _, latest, _ in spans)
    shortest = max(shortest, *(took for _, _, took in spans), 0.0)
    if not shortest:
        return None
    tokens = sum(part.tokens for part in parts)
    return GroupTotal(
        rate=items / longest,
        highest_rate=items / shortest,
        width=longest / shortest - 1,
        items=items,
        tokens_per_second=tokens / longest if tokens else None,
        seconds=longest,
        least_seconds=shortest,
        naive_sum=sum(part.rate or 0.0 for part in parts),
    )


def group_of(size: int, parts: Sequence[HostPart], broken: Sequence[str] = ()) -> Group:
    """What is to be said of a group.

    Args:
        size: how many hosts there should be.
        parts: those that are known.
        broken: why it was stopped, or is not whole; the first leads.
    """
    ordered = sorted(parts, key=lambda part: part.rank)
    total = total_of(ordered) if len(ordered) == size else None
    reasons = list(dict.fromkeys(broken))
    told = ((f"{part.label}: {why}", why) for part in ordered for why in part.reasons)
    reasons += [labelled for labelled, why in told if not {labelled, why} & set(reasons)]
    reasons += [f"{part.label} is INVALID" for part in ordered if not part.valid and not part.reasons]
    if total is None and not reasons and any(part.items for part in ordered):
        late = next((part.label for part in ordered if part.seconds is None), "a host")
        reasons.append(f"no total: the workers of {late} counted nothing, or did not wait for the common start")
    warnings = [f"{part.label}: {text}" for part in ordered for text in part.warnings]
    if total is not None and total.width > WIDTH_NOTED:
        warnings.append(f"the total is known to {total.width:.2g} only: the hosts answered late; a longer run helps")
    return Group(
        valid=not reasons,
        reasons=tuple(reasons),
        warnings=(*warnings, *_differences(ordered)),
        size=size,
        total=total,
        hosts=tuple(ordered),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAlone:
    """What one host did without the others, in runs of their own."""

    rate: float
    """Median of their rates by makespan."""
    runs: int
    efficiency: float
    """Rate of the group / (hosts x this rate)."""


def compared_with_one(group: Group, reports: Sequence[Report]) -> HostAlone | None:
    """How a group compares with one host alone; None where none of the runs is one of the same program and shape.

    Args:
        group: of several hosts.
        reports: of runs, which may be anything.
    """
    shapes = {part.instances for part in group.hosts}
    rates = [
        report.throughput.makespan
        for report in reports
        if report.valid and report.throughput.makespan and {len(report.instances)} == shapes
        if report.provenance.get("program") == list(group.program) and not (report.host and report.host.across_hosts)
    ]
    if group.total is None or not rates:
        return None
    rate = statistics.median(rates)
    return HostAlone(rate=rate, runs=len(rates), efficiency=group.total.rate / (group.size * rate))


def _differences(parts: Sequence[HostPart]) -> list[str]:
    """What hosts have chosen differently."""
    found = []
    for name in COMPARED_FACTS:
        chosen: dict[str, list[str]] = {}
        for part in parts:
            if name in part.facts:
                chosen.setdefault(part.facts[name], []).append(part.name)
        if len(chosen) > 1:
            told = ", ".join(f"{value} on {' '.join(names)}" for value, names in chosen.items())
            found.append(f"the hosts chose different {name}s: {told}; --{name} gives all the same")
    return found


def with_bounds(part: HostPart, bounds: tuple[float, float] | None) -> HostPart:
    """The part with the bounds of its start; without them where it was given none.

    Args:
        part: of a host.
        bounds: earliest and latest, in seconds from the first host's own start.
    """
    earliest, latest = (None, None) if bounds is None else bounds
    return replace(part, earliest_s=earliest, latest_s=latest)


SCHEMA = "ipexlaunch/group/1"


def write_group(group: Group) -> str:
    """The group as JSON text; `read_group` gives the same value back."""
    return dump_json({"schema": SCHEMA, **to_plain(group)})


def read_group(text: str, source: str) -> Group:
    """The group that the text holds.

    Args:
        text: JSON.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the place.
    """
    return read_value(parse_document(text, source, {"group": [1]}), Group)
