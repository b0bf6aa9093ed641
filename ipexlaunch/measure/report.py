"""Run -> Report: one honest aggregate throughput, what each instance did, and whether the number may be believed.

Definitions (docs/report.md): the headline is work / makespan from the common start, as MLPerf LoadGen's Offline
scenario has it, or from the first worker's start where each begins as it gets ready (`batch`); the steady rate is the
work done while every worker was working / that window; the naive sum adds the workers' own rates and is shown only to
be compared.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ipexlaunch.batch.counts import BatchSummary
from ipexlaunch.documents.forms import in_documents
from ipexlaunch.launch.announced import COUNTED_NOTHING
from ipexlaunch.launch.exit_status import SIGNAL_NAMES
from ipexlaunch.launch.lifecycle import SIGNAL_BASE, Failure
from ipexlaunch.launch.placement.placement import Placement
from ipexlaunch.launch.placement.verify import LOCAL_SHARE_REQUIRED, Proof, doubts, misplacements_at_worst, proof_of
from ipexlaunch.launch.run_record import Run, WorkerRecord
from ipexlaunch.machine.cpulist import Ids, format_list
from ipexlaunch.measure.disturbance import LOST_TIME_ALLOWED, Disturbance, disturbance_of, judge
from ipexlaunch.measure.format_number import figure
from ipexlaunch.measure.percentiles import Distribution, distribution
from ipexlaunch.measure.rates import Rate, Start, began, items_within, rate_of, start_kind, window_of
from ipexlaunch.measure.solo_baseline import Baseline, Scaling, scaling_of

EXIT_INVALID = 4

STRAGGLER_SHARE = 0.9
"""A worker below this share of the median rate is named."""


CLAIMED_RATE = "claimed_rate"
"""The fact about a worker that holds what it printed last of its own rate (--throughput-regex with a group rate)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Rates of the whole run; None where nothing was counted or the definition does not apply."""

    makespan: Rate | None
    """Items per second: all items / (last completion - start)."""
    steady: Rate | None
    """Items per second within the window in which every worker was working."""
    naive_sum: Rate | None
    """Sum of the workers' own rates, each over its own time; without any other rate, of those that they claim."""
    unit: str = "items/s"
    items: int = 0
    tokens: int = 0
    tokens_per_second: float | None = None
    """By makespan; None where no tokens were counted."""
    seconds: float | None = None
    """The makespan."""
    steady_seconds: float | None = None
    """Length of the window in which every worker was working, whether or not it is long enough for a rate; None where
    one of them counted nothing, so that there is none."""
    start: Start | None = None
    """What the makespan counts from; None where nothing was counted, or an older version has written the report."""


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
    accelerator: str = field(default="", metadata=in_documents(omitted=True))
    """The accelerator that it was given ("xpu:0"); "" for none."""
    items: int
    tokens: int
    rate: Rate | None
    """Items per second over its own time."""
    interference: float | None = None
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
    phases_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of what it announced to be busy with before it was ready, in that order."""
    distributions_ms: Mapping[str, Distribution] = field(default_factory=dict)
    """Durations that it reported beside the latencies of its counts, by kind."""
    facts: Mapping[str, object] = field(default_factory=dict)
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
    baseline: Baseline | None = None
    """What one instance did alone; None where that was not measured."""
    disturbance: Disturbance | None = None
    """What was taken from the run; None where the host was not read."""
    instances: tuple[InstanceReport, ...]
    failures: tuple[Failure, ...]
    """Earliest first; times are seconds from the start of the run."""
    distributions_ms: Mapping[str, Distribution] = field(default_factory=dict)
    """Of the merged durations of all workers, by kind."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """Those on which all workers that told any agree."""
    exit_code: int
    provenance: Mapping[str, object] = field(default_factory=dict)
    batch: BatchSummary | None = None
    """Of a batch job; None for other runs."""

    @property
    def failed(self) -> frozenset[int]:
        """Instances that failed by themselves or by a limit; others that ended with a code were asked to end."""
        return frozenset(failure.index for failure in self.failures)


def aggregate(
    run: Run,
    provenance: Mapping[str, object] | None = None,
    local_share_required: float = LOCAL_SHARE_REQUIRED,
    further_reasons: Sequence[str] = (),
    baseline: Baseline | None = None,
    lost_time_allowed: float = LOST_TIME_ALLOWED,
) -> Report:
    """The report of a run; every figure in it is computed from what the run recorded.

    Args:
        run: what happened.
        provenance: facts about the host and the program, passed through.
        local_share_required: share of local anonymous memory below which the run is INVALID, 0 to 1.
        further_reasons: why it is INVALID that the run itself does not show: items that were not done.
        baseline: what one instance did alone; None where that was not measured.
        lost_time_allowed: share of the workers' cpu time whose loss to others makes the run INVALID, 0 to 1.
    """
    disturbance = disturbance_of(run)
    verdict = judge(disturbance, lost_time_allowed)
    reasons = [*further_reasons, *_reasons(run, local_share_required), *verdict.reasons]
    throughput, scaling = _throughput(run), scaling_of(run, baseline)
    return Report(
        valid=not reasons,
        reasons=tuple(reasons),
        warnings=(*_warnings(run, throughput), *verdict.warnings),
        throughput=throughput,
        latency_ms=_percentiles_ms(latency for record in run.records for latency in record.samples.latencies_s),
        efficiency=scaling.efficiency if scaling else None,
        baseline=baseline,
        disturbance=disturbance,
        instances=tuple(_instance(record, run, scaling) for record in run.records),
        failures=tuple(
            Failure(index=f.index, stage=f.stage, code=f.code, message=f.message, time=f.time - run.started)
            for f in run.failures
        ),
        exit_code=run.exit_code or (EXIT_INVALID if reasons else 0),
        provenance=provenance or {},
        distributions_ms=_distributions(run.records),
        facts=_agreed_facts(run.records),
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


def _throughput(run: Run) -> Throughput:
    counted = [record for record in run.records if record.samples.times]
    items = sum(sum(record.samples.items) for record in counted)
    tokens = sum(sum(record.samples.tokens) for record in counted)
    if not counted:
        claims = [record.claimed_rate for record in run.records if record.claimed_rate is not None]
        return Throughput(makespan=None, steady=None, naive_sum=sum(claims) if claims else None)
    window = window_of(run)
    if window is None or window.last <= window.start:
        return Throughput(makespan=None, steady=None, naive_sum=None, items=items, tokens=tokens)
    seconds = window.last - window.start
    done = sum(items_within(run, record, window) for record in counted)
    rates = [rate for record in counted if (rate := rate_of(record, began(run, record))) is not None]
    return Throughput(
        makespan=items / seconds,
        steady=done / window.seconds if window.is_long_enough else None,
        naive_sum=sum(rates),
        items=items,
        tokens=tokens,
        tokens_per_second=tokens / seconds if tokens else None,
        seconds=seconds,
        steady_seconds=window.seconds if window.everybody else None,
        start=start_kind(run),
    )


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
        rate=rate_of(record, began(run, record)),
        latency_ms=_percentiles_ms(record.samples.latencies_s),
        ready_s=None if record.ready is None else record.ready - record.started,
        local_pages=_worst_share(record.instance.nodes, record.placements),
        threads=last.threads if last else None,
        cpu_s=record.cpu_s,
        peak_memory_bytes=max([record.peak_memory_bytes, *(p.peak_memory_bytes for p in record.placements)]),
        exit=record.exit_code if run.saw_end_of(record) else None,
        log=record.log,
        placement=proof_of(record.placements),
        phases_s=record.told.phase_seconds() if record.told else {},
        distributions_ms=_distributions([record]),
        facts=_facts(record),
        interference=scaling.interference[record.instance.index] if scaling else None,
        accelerator=record.instance.accelerator,
    )


def _facts(record: WorkerRecord) -> dict[str, object]:
    facts = dict(record.told.facts) if record.told else {}
    return facts if record.claimed_rate is None else {**facts, CLAIMED_RATE: record.claimed_rate}


def _worst_share(nodes: frozenset[int], placements: Iterable[Placement]) -> float | None:
    shares = [share for placement in placements if (share := placement.local_share(nodes)) is not None]
    return min(shares, default=None)


def _reasons(run: Run, local_share_required: float) -> list[str]:
    reasons: list[str] = []
    if run.signal is not None:
        reasons.append(f"the run was interrupted by SIG{SIGNAL_NAMES.get(run.signal, str(run.signal))}")
    if not run.over:
        known_s = run.ended - run.started
        reasons.append(f"it has no end: its launcher was killed, or it still runs; known are its first {known_s:.0f} s")
    reasons += [f"instance {failure.index} {failure.message}" for failure in run.failures]
    counted = {r.instance.index for r in run.records if any(r.samples.items) or any(r.samples.tokens)}
    for record in run.records:
        index = record.instance.index
        stopped = record.exit_code > SIGNAL_BASE and (run.signal is not None or run.failures)
        said = record.told is not None and any(COUNTED_NOTHING in reason for reason in record.told.invalid)
        if not run.fed and index not in counted and not stopped and run.over and record.exit_code == 0 and not said:
            if counted:
                reasons.append(f"instance {index} counted nothing while others did")
            elif record.ready is not None and record.finished is not None and record.claimed_rate is None:
                reasons.append(f"instance {index} called ready(), but counted nothing")
        silent = record.ready is not None and record.finished is None and record.exit_code == 0
        if silent and not run.fed and run.saw_end_of(record):
            reasons.append(f"instance {index} was ready but never said that it finished")
        if record.told is not None:
            # One that failed, or was ended, need not have counted.
            told = [r for r in record.told.invalid if record.exit_code == 0 or COUNTED_NOTHING not in r]
            reasons += [f"instance {index}: {reason}" for reason in told]
        if record.binding is not None:
            reasons += misplacements_at_worst(record.instance, record.placements, record.binding, local_share_required)
    return reasons


def _warnings(run: Run, throughput: Throughput) -> list[str]:
    warnings = list(run.notes)
    unseen = frozenset(
        r.instance.index
        for r in run.records
        if r.pid is not None and not r.placements and run.saw_end_of(r) and r.instance.cpus
    )
    if unseen:
        warnings.append(
            f"instance{'s' * (len(unseen) > 1)} {format_list(unseen)} ended before anybody looked: bound as planned, "
            "but not proven (see --proof-interval)"
        )
    for record in run.records:
        warnings += doubts(record.instance, record.placements)
    if throughput.makespan is None and throughput.naive_sum is not None:
        silent = frozenset(r.instance.index for r in run.records if r.claimed_rate is None)
        but = f"; instance{'s' * (len(silent) > 1)} {format_list(silent)} claimed none" if silent else ""
        warnings.append(f"the rate is not measured: it adds up what each worker claims of itself{but}")
    if throughput.makespan is not None:
        if run.go is None:
            warnings.append("no worker waited for the common start, so the rate includes loading")
        if throughput.steady is None and throughput.seconds:
            warnings.append(f"no steady rate: {_why_not_steady(run, throughput, throughput.seconds)}")
        warnings += _stragglers(run)
    return warnings


def _why_not_steady(run: Run, throughput: Throughput, seconds: float) -> str:
    idle = frozenset(record.instance.index for record in run.records if not record.samples.times)
    if idle:
        did = "got no item" if run.fed else "counted nothing"
        return f"instance{'s' * (len(idle) > 1)} {format_list(idle)} {did}"
    if not throughput.steady_seconds:
        return "there was no time in which all workers worked"
    return f"all workers worked together for only {throughput.steady_seconds / seconds:.2g} of the makespan"


def _stragglers(run: Run) -> list[str]:
    rates = {r.instance.index: rate for r in run.records if (rate := rate_of(r, began(run, r))) is not None}
    if len(rates) < 2:
        return []
    ordered = sorted(rates.values())
    median = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return [
        f"instance {index} is a straggler: {figure(rate)} items/s, {rate / median:.0%} of the median"
        for index, rate in rates.items()
        if rate < STRAGGLER_SHARE * median
    ]
