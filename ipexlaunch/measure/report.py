"""Run -> Report: one honest aggregate throughput, what each instance did, and whether the number may be believed.

Definitions (docs/report.md): the headline is work / makespan from the common start, as MLPerf LoadGen's Offline
scenario has it, or from the first worker's start where each begins as it gets ready (`batch`); the steady rate is the
work done while every worker was working / that window; the naive sum adds the workers' own rates and is shown only to
be compared. As JSON: schema ipexlaunch/report/1.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ipexlaunch.batch.items import BatchSummary
from ipexlaunch.doctor.job_engine import JobHost
from ipexlaunch.documents.codec import dump_json, read_value, to_plain
from ipexlaunch.documents.fields import LATER, OMITTED
from ipexlaunch.documents.text import parse_document
from ipexlaunch.errors import TRY_AGAIN
from ipexlaunch.launch.lifecycle import Failure
from ipexlaunch.launch.placement.placement import Placement, Resident, together
from ipexlaunch.launch.placement.verify import LOCAL_SHARE_REQUIRED, Proof, proof_of
from ipexlaunch.launch.run_record import Run, WorkerRecord
from ipexlaunch.machine.cpulist import Ids
from ipexlaunch.measure.rates import Rate, Throughput, rate_of, throughput_of, work_began
from ipexlaunch.measure.scaling import Baseline, Scaling, scaling_of
from ipexlaunch.measure.service import ServiceSummary
from ipexlaunch.measure.start_cost import StartCost, start_cost_of, total_of
from ipexlaunch.measure.validity import LOST_TIME_ALLOWED, Disturbance, disturbance_of, judge, reasons_of, warnings_of

EXIT_INVALID = 4

CLAIMED_RATE = "claimed_rate"  # the fact about a worker that holds what it printed last of its own rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Durations of one kind: how many there are, and nearest-rank percentiles in milliseconds."""

    count: int
    p50: float
    p90: float
    p99: float


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest sample that at least `percent` of all do not exceed.

    Args:
        ordered: samples, ascending, at least one.
        percent: above 0, up to 100.
    """
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def distribution(durations_s: Iterable[float]) -> Distribution | None:
    """What is kept of these durations; None where there are none.

    Args:
        durations_s: seconds, in any order; NaN is one that is not known.
    """
    if not (ordered := sorted(1e3 * duration for duration in durations_s if not math.isnan(duration))):
        return None
    p50, p90, p99 = (percentile(ordered, percent) for percent in (50, 90, 99))
    return Distribution(count=len(ordered), p50=p50, p90=p90, p99=p99)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReport:
    """What one worker did and where it was."""

    index: int
    cpus: Ids
    """As read back."""
    nodes: Ids
    """As read back; empty where memory is not bound."""
    memory: str
    """Policy as read back."""
    accelerator: str = field(default="", metadata=OMITTED)
    """The accelerator that it was given ("xpu:0"); "" for none."""
    cgroup: str = field(default="", metadata=OMITTED)
    """Directory of the cgroup that confined it; "" for none."""
    items: int
    tokens: int
    rate: Rate | None
    """Items per second over its own time."""
    interference: float | None = field(default=None, metadata=LATER)
    """Its rate while all worked / the rate of one alone; None where no baseline was measured."""
    latency_ms: Mapping[str, float]
    """p50, p90, p99; empty where none was reported."""
    ready_s: float | None
    """From its start to ready."""
    local_pages: float | None
    """Share of its anonymous memory on its planned nodes, 0 to 1."""
    threads: int | None
    cpu_s: float
    peak_memory_bytes: int
    exit: int | None
    """In the shell's sense; None where nobody saw it."""
    log: str = ""
    placement: Proof | None = None
    """What was read back of it; None where it ended before anybody looked."""
    phases_s: Mapping[str, float] = field(default_factory=dict, metadata=LATER)
    """Seconds of what it announced to be busy with before it was ready, in that order."""
    start: StartCost | None = field(default=None, metadata=LATER)
    """What it cost until it was ready; None where it did not tell."""
    distributions_ms: Mapping[str, Distribution] = field(default_factory=dict, metadata=LATER)
    """Durations that it reported beside the latencies of its counts, by kind."""
    facts: Mapping[str, object] = field(default_factory=dict, metadata=LATER)
    """What it told of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The answer of a run."""

    valid: bool
    reasons: tuple[str, ...]
    """Why it is INVALID."""
    warnings: tuple[str, ...]
    """What the reader should know though the number stands."""
    throughput: Throughput
    latency_ms: Mapping[str, float]
    """p50, p90, p99 of the merged samples of all workers."""
    efficiency: float | None
    """Steady rate / (instances x rate of one alone); None without a baseline or a steady rate."""
    baseline: Baseline | None = field(default=None, metadata=LATER)
    """What one instance did alone; None where that was not measured."""
    disturbance: Disturbance | None = field(default=None, metadata=LATER)
    """What was taken from the run; None where the host was not read."""
    instances: tuple[InstanceReport, ...]
    failures: tuple[Failure, ...]
    """Earliest first; times are seconds from the start of the run."""
    start: StartCost | None = field(default=None, metadata=LATER)
    """What it cost until the workers were ready, of those that told."""
    distributions_ms: Mapping[str, Distribution] = field(default_factory=dict, metadata=LATER)
    """Of the merged durations of all workers, by kind."""
    facts: Mapping[str, object] = field(default_factory=dict, metadata=LATER)
    """Those on which all workers that told any agree."""
    exit_code: int
    provenance: Mapping[str, object] = field(default_factory=dict)
    host: JobHost | None = field(default=None, metadata=LATER)
    """Where it ran, as a part of an engine's job where there was one; None where that is not known."""
    batch: BatchSummary | None = field(default=None, metadata=LATER)
    """Of a batch job; None for other runs."""
    service: ServiceSummary | None = field(default=None, metadata=LATER)
    """Of servers; None for other runs."""

    @property
    def failed(self) -> frozenset[int]:
        """Instances that failed by themselves or by a limit; others that ended with a code were asked to end."""
        return frozenset(failure.index for failure in self.failures)

    @property
    def resident(self) -> Resident | None:
        """The memory of all workers at the last look at each; None where nobody could look.

        Who was looked at when others had ended had more of the shared pages to itself: together it is this at most.
        """
        proofs = [instance.placement for instance in self.instances if instance.placement is not None]
        return together(proof.resident for proof in proofs if proof.resident is not None)


def aggregate(
    run: Run,
    provenance: Mapping[str, object] | None = None,
    local_share_required: float = LOCAL_SHARE_REQUIRED,
    further_reasons: Sequence[str] = (),
    baseline: Baseline | None = None,
    lost_time_allowed: float = LOST_TIME_ALLOWED,
    batch: BatchSummary | None = None,
    service: ServiceSummary | None = None,
) -> Report:
    """The report of a run; every figure in it is computed from what the run recorded.

    Args:
        run: what happened.
        provenance: facts about the host and the program, passed through.
        local_share_required: share of local anonymous memory below which the run is INVALID, 0 to 1.
        further_reasons: why it is INVALID that the run itself does not show: items that were not done.
        baseline: what one instance did alone; None where that was not measured.
        lost_time_allowed: share of the workers' cpu time whose loss to others makes the run INVALID, 0 to 1.
        batch: figures of a batch job; None for other runs.
        service: of servers; None for other runs.
    """
    disturbance = disturbance_of(run)
    verdict = judge(disturbance, lost_time_allowed)
    reasons = [*further_reasons, *reasons_of(run, local_share_required), *verdict.reasons]
    throughput, scaling = throughput_of(run), scaling_of(run, baseline) if baseline else None
    instances = tuple(_instance(record, run, scaling) for record in run.records)
    invalid = TRY_AGAIN if batch is not None and batch.drained else EXIT_INVALID
    return Report(
        valid=not reasons,
        reasons=tuple(reasons),
        warnings=(*warnings_of(run, throughput), *verdict.warnings),
        throughput=throughput,
        latency_ms=_percentiles_ms(latency for record in run.records for latency in record.samples.latencies_s),
        efficiency=scaling.efficiency if scaling else None,
        baseline=baseline,
        disturbance=disturbance,
        instances=instances,
        start=total_of(instance.start for instance in instances if instance.start is not None),
        failures=tuple(
            Failure(index=f.index, stage=f.stage, code=f.code, message=f.message, time=f.time - run.started)
            for f in run.failures
        ),
        exit_code=run.exit_code or (invalid if reasons else 0),
        provenance=provenance or {},
        distributions_ms=_distributions(run.records),
        facts=_agreed_facts(run.records),
        batch=batch,
        service=service,
    )


def _percentiles_ms(latencies_s: Iterable[float]) -> dict[str, float]:
    found = distribution(latencies_s)
    return {"p50": found.p50, "p90": found.p90, "p99": found.p99} if found else {}


def _distributions(records: Iterable[WorkerRecord]) -> dict[str, Distribution]:
    """Each kind of durations over all of these workers, in the order in which they first came."""
    merged: dict[str, array[float]] = {}
    for record in records:
        for name, values_s in (record.told.durations_s if record.told else {}).items():
            merged.setdefault(name, array("d")).extend(values_s)
    return {name: found for name, values_s in merged.items() if (found := distribution(values_s)) is not None}


def _agreed_facts(records: Iterable[WorkerRecord]) -> dict[str, object]:
    """The facts that every worker which told any has told alike."""
    told = [record.told.facts for record in records if record.told and record.told.facts]
    return {name: value for name, value in (told[0] if told else {}).items() if all(_has(f, name, value) for f in told)}


def _has(facts: Mapping[str, object], name: str, value: object) -> bool:
    return name in facts and facts[name] == value


def _instance(record: WorkerRecord, run: Run, scaling: Scaling | None) -> InstanceReport:
    last = record.placements[-1] if record.placements else None
    binding = record.binding
    return InstanceReport(
        index=record.instance.index,
        cpus=last.cpus if last else binding.cpus if binding else frozenset(),
        nodes=binding.nodes if binding else frozenset(),
        memory=binding.memory if binding else "none",
        items=sum(record.samples.items),
        tokens=sum(record.samples.tokens),
        rate=rate_of(record, work_began(run, record)),
        latency_ms=_percentiles_ms(record.samples.latencies_s),
        ready_s=None if record.ready is None else record.ready - record.started,
        local_pages=_worst_share(record.instance.nodes, record.placements),
        threads=last.threads if last else None,
        cpu_s=record.cpu_s,
        peak_memory_bytes=max([record.peak_memory_bytes, *(p.peak_memory_bytes for p in record.placements)]),
        exit=record.exit_code if run.saw_end_of(record) else None,
        log=record.log,
        placement=proof_of(record.placements) if record.placements else None,
        phases_s=record.told.phase_seconds() if record.told else {},
        start=start_cost_of(record.told) if record.told else None,
        distributions_ms=_distributions([record]),
        facts=_facts(record),
        interference=scaling.interference[record.instance.index] if scaling else None,
        accelerator=record.instance.accelerator,
        cgroup=binding.cgroup if binding else "",
    )


def _facts(record: WorkerRecord) -> dict[str, object]:
    facts = dict(record.told.facts) if record.told else {}
    return facts if record.claimed_rate is None else {**facts, CLAIMED_RATE: record.claimed_rate}


def _worst_share(nodes: frozenset[int], placements: Iterable[Placement]) -> float | None:
    shares = [share for placement in placements if (share := placement.local_share(nodes)) is not None]
    return min(shares, default=None)


SCHEMA = "ipexlaunch/report/1"


def write_report(report: Report) -> str:
    """The report as JSON text; `read_report` gives the same value back."""
    return dump_json({"schema": SCHEMA, **to_plain(report)})


def read_report(text: str, source: str) -> Report:
    """The report that the text holds.

    Args:
        text: JSON (or YAML).
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the place.
    """
    return read_value(parse_document(text, source, {"report": [1]}), Report, complete=True)
