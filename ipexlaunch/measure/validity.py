"""Why a run is INVALID, what else its reader should know, and how it scales against one instance alone.

Turbo frequencies are higher while the other cores rest; that is part of the price of many, and is not taken out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ipexlaunch.documents.fields import OMITTED
from ipexlaunch.documents.visible_text import format_number
from ipexlaunch.launch.lifecycle import SIGNAL_BASE
from ipexlaunch.launch.placement.verify import doubts, misplacements_at_worst
from ipexlaunch.launch.process_failures import SIGNAL_NAMES
from ipexlaunch.launch.run_record import COUNTED_NOTHING, Run
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.measure.rates import Rate, Throughput, items_within, rate_of, window_of, work_began


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What one instance did while the cores of the others were idle."""

    index: int
    """Of the instance."""
    rate: Rate
    """Items per second from its start to its last completion."""
    items: int
    seconds: float
    measured: str = field(default="", metadata=OMITTED)
    """When, as ISO 8601 in UTC, where that was at the end of a search; "" for just before the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """The run, compared with the baseline."""

    efficiency: float
    """Steady rate / (instances x rate of the one alone)."""
    interference: dict[int, float]
    """Instance to its own rate while all worked / the rate of the one alone; efficiency is the mean of them."""


def baseline_of(solo: Run) -> Baseline | None:
    """The rate of the one instance of this run; None where it counted nothing.

    Args:
        solo: a run of one instance.
    """
    window = window_of(solo)
    if window is None or len(solo.records) != 1 or window.last <= window.start:
        return None
    record = solo.records[0]
    items, seconds = sum(record.samples.items), window.last - window.start
    return Baseline(index=record.instance.index, rate=items / seconds, items=items, seconds=seconds) if items else None


def scaling_of(run: Run, baseline: Baseline | None) -> Scaling | None:
    """How the run compares; None where there is no baseline, or the run has no steady rate.

    Args:
        run: of all instances, each of the baseline's size.
        baseline: what one did alone.
    """
    window = window_of(run)
    if baseline is None or window is None or not window.is_long_enough:
        return None
    shares = {
        record.instance.index: items_within(run, record, window) / window.seconds / baseline.rate
        for record in run.records
    }
    return Scaling(efficiency=sum(shares.values()) / len(shares), interference=shares)


STRAGGLER_SHARE = 0.9
"""A worker below this share of the median rate is named."""


def reasons_of(run: Run, local_share_required: float) -> list[str]:
    """Why a run is INVALID, as far as it shows that itself; nothing of what the host lost is among them.

    Args:
        run: what happened.
        local_share_required: share of local anonymous memory below which it is, 0 to 1.
    """
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
        if record.placements and record.binding is not None:
            reasons += misplacements_at_worst(record.instance, record.placements, record.binding, local_share_required)
    return reasons


def warnings_of(run: Run, throughput: Throughput) -> list[str]:
    """What the reader of a report should know though its number stands.

    Args:
        run: what happened.
        throughput: its rates.
    """
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
        if record.placements:
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
    rates = {r.instance.index: rate for r in run.records if (rate := rate_of(r, work_began(run, r))) is not None}
    if len(rates) < 2:
        return []
    ordered = sorted(rates.values())
    median = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return [
        f"instance {index} is a straggler: {format_number(rate)} items/s, {rate / median:.0%} of the median"
        for index, rate in rates.items()
        if rate < STRAGGLER_SHARE * median
    ]
