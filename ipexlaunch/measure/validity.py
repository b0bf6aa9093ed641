"""Why a run is INVALID, and what else its reader should know: what the run shows itself, and what disturbed it.

Disturbances: the wait for a cpu, others on its cores, the hypervisor, a quota, swap, heat, a falling clock. Figures are
differences of two readings: at the common start, and when the last worker had ended. docs/report.md.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TypeVar

from ipexlaunch.documents.fields import LATER
from ipexlaunch.launch.host_counters import HostReading, Waits
from ipexlaunch.launch.lifecycle import SIGNAL_BASE
from ipexlaunch.launch.placement.verify import doubts, misplacements_at_worst
from ipexlaunch.launch.process_failures import SIGNAL_NAMES
from ipexlaunch.launch.run_record import COUNTED_NOTHING, Run
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.measure.rates import Throughput, rate_warnings, start_of


def reasons_of(run: Run, local_share_required: float) -> list[str]:
    """Why a run is INVALID, as far as it shows that itself; nothing of what the host lost is among them.

    Args:
        run: what happened.
        local_share_required: share of local anonymous memory below which it is, 0 to 1.
    """
    reasons = [] if run.lost is None else [run.lost[1]]
    if run.signal is not None:
        reasons.append(f"the run was interrupted by SIG{SIGNAL_NAMES.get(run.signal, str(run.signal))}")
    if not run.over:
        known_s = run.ended - run.started
        reasons.append(f"it has no end: its launcher was killed, or it still runs; known are its first {known_s:.0f} s")
    reasons += [f"instance {failure.index} {failure.message}" for failure in run.failures]
    counted = {r.instance.index for r in run.records if any(r.samples.items) or any(r.samples.tokens)}
    for record in run.records:
        index = record.instance.index
        stopped = record.exit_code > SIGNAL_BASE and (run.signal is not None or run.failures or run.lost)
        said = record.told is not None and any(COUNTED_NOTHING in reason for reason in record.told.invalid)
        counts = not run.fed and not run.serving
        if counts and index not in counted and not stopped and run.over and record.exit_code == 0 and not said:
            if counted:
                reasons.append(f"instance {index} counted nothing while others did")
            elif record.ready is not None and record.finished is not None and record.claimed_rate is None:
                reasons.append(f"instance {index} called ready(), but counted nothing")
        silent = record.ready is not None and record.finished is None and record.exit_code == 0
        if silent and counts and run.saw_end_of(record):
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
    return warnings + rate_warnings(run, throughput)


LOST_TIME_ALLOWED = 0.25
"""Share of the workers' cpu time that may be taken from them in a VALID run."""

LOST_TIME_NOTED = 0.02
"""A share from which the reader is told."""

JUDGED_SECONDS = 2.0
"""Below, the kernel's ticks of 10 ms and the end of the processes weigh too much."""

SWAP_READ_S = 1e-4
"""What a page that is read back from swap costs at least: a read of a fast solid-state disk."""

PAGE_BYTES = 4096
"""The smallest page of every architecture that we run on; counts of larger ones are understated."""

FREQUENCY_DROP_NOTED = 0.05
"""The clock at the end of the run was so much lower than at its beginning."""

MIB = 1 << 20
Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """What was taken from a run; None where the kernel does not tell."""

    seconds: float
    """Between the two readings."""
    cpu_seconds: float
    """That the workers' cpus had in that time."""
    others_s: float | None = None
    """Cpu time of other programs on the workers' cores, siblings included."""
    stolen_s: float | None = None
    """That the hypervisor gave to others."""
    stopped_s: float | None = None
    """That a quota stopped the workers, summed over cpus."""
    stopped_periods: int | None = None
    periods: int | None = None
    swapped_in_pages: int | None = None
    swapped_out_pages: int | None = None
    hot_events: int | None = None
    first_mhz: float | None = None
    """Mean clock of the workers' cores in the first third of the run."""
    last_mhz: float | None = None
    """The same in the last third."""

    waited_s: float | None = field(default=None, metadata=LATER)
    """That the workers' threads were ready and waited for a cpu, behind others or each other; None where the kernel
    does not tell it of nearly all that they ran."""
    pressure_s: float | None = field(default=None, metadata=LATER)
    """That some thread of the host did so."""

    @property
    def lost_s(self) -> float | None:
        """Cpu time that other programs took from the workers: they ran, and the workers waited meanwhile.

        Where only one of both is known that alone: the wait may be behind each other then, and others may have run
        while the workers slept.
        """
        if self.waited_s is None or self.others_s is None:
            return self.others_s
        return min(self.waited_s, self.others_s)

    def share(self, seconds: float | None) -> float:
        """Of the workers' cpu time; 0 where unknown."""
        return (seconds or 0.0) / self.cpu_seconds if self.cpu_seconds else 0.0


def disturbance_of(run: Run) -> Disturbance | None:
    """What disturbed the run between its common start and its end; None where the host was not read.

    Args:
        run: with the readings of the host.
    """
    if len(run.host) < 2:
        return None
    # The last worker is looked at when it says that it is ready, an instant before the start is given.
    first, last = min(run.host, key=lambda reading: abs(reading.time - start_of(run))), run.host[-1]
    seconds = last.time - first.time
    if seconds <= 0:
        return None
    before, after = first.throttling, last.throttling
    cpus = frozenset(cpu for record in run.records for cpu in record.instance.cpus)
    clocks = _clocks(run, first)
    return Disturbance(
        seconds=seconds,
        cpu_seconds=seconds * (len(cpus) or run.host_cpus),
        others_s=_others(run, first, last),
        stolen_s=_risen(first.stolen_s, last.stolen_s),
        stopped_s=after.stopped_s - before.stopped_s if after and before else None,
        stopped_periods=after.stopped_periods - before.stopped_periods if after and before else None,
        periods=after.periods - before.periods if after and before else None,
        swapped_in_pages=_risen(first.swapped_in_pages, last.swapped_in_pages),
        swapped_out_pages=_risen(first.swapped_out_pages, last.swapped_out_pages),
        hot_events=_risen(first.hot_events, last.hot_events),
        first_mhz=clocks[0],
        last_mhz=clocks[1],
        waited_s=_waited(run, first),
        pressure_s=_risen(first.pressure_s, last.pressure_s),
    )


def _risen(before: Number | None, after: Number | None) -> Number | None:
    return None if before is None or after is None else max(after, before) - before


def _others(run: Run, first: HostReading, last: HostReading) -> float | None:
    """What ran on the cores and was neither a worker nor the launcher."""
    busy = _risen(first.busy_s, last.busy_s)
    if busy is None:
        return None
    before: dict[int, float] = {}
    for reading in run.host:
        if reading.time <= first.time:
            before.update(reading.used_s)
    own = sum(record.cpu_s - before.get(record.pid or 0, 0.0) for record in run.records)
    pids = {record.pid for record in run.records}
    launcher = sum(used - before.get(pid, 0.0) for pid, used in last.used_s.items() if pid not in pids)
    return max(0.0, busy - own - launcher)


SEEN_SHARE_REQUIRED = 0.9
"""Of what a worker has used, so much must be of threads that were seen, or their waits say too little."""

UNSEEN_ALLOWED = 0.02
"""... or what was not seen is less than this share of the time: a worker that slept has used next to nothing."""


def _waited(run: Run, first: HostReading) -> float | None:
    """What the workers' threads waited for a cpu from that reading on."""
    waited = 0.0
    for record in run.records:
        if record.pid is None:
            continue
        looks = [reading for reading in run.host if record.pid in reading.waits]
        if not looks:
            return None
        before = next((reading for reading in reversed(looks) if reading.time <= first.time), None)
        waits_before = Waits(0.0, 0.0) if before is None else before.waits[record.pid]  # not seen: it had just begun
        used_before = 0.0 if before is None else before.used_s[record.pid]
        after = looks[-1]
        ran = after.waits[record.pid].ran_s - waits_before.ran_s
        # One that said that it has finished was looked at then; what it used to end is not work.
        total = after.used_s[record.pid] if record.finished is not None else record.cpu_s
        used = total - used_before
        if used - ran > max((1 - SEEN_SHARE_REQUIRED) * used, UNSEEN_ALLOWED * (run.host[-1].time - first.time)):
            return None
        if not after.waits[record.pid].ran_s:
            return None  # a kernel that counts nothing writes zeros
        waited += after.waits[record.pid].waited_s - waits_before.waited_s
    return waited


def _clocks(run: Run, first: HostReading) -> tuple[float | None, float | None]:
    """Mean frequency in the first and in the last third of the readings."""
    seen = [r.frequency_mhz for r in run.host if r.time >= first.time and r.frequency_mhz is not None]
    third = len(seen) // 3
    return (statistics.mean(seen[:third]), statistics.mean(seen[-third:])) if third else (None, None)


def _about_others(d: Disturbance) -> str:
    if d.waited_s is None or d.others_s is None:
        return "other programs ran on the workers' cores"
    return (
        f"other programs ran on the workers' cores for {d.others_s:.3g} s, while the workers' threads waited "
        f"{d.waited_s:.3g} s for a cpu"
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows for the report."""

    reasons: tuple[str, ...] = ()
    """Why the run is INVALID."""
    warnings: tuple[str, ...] = ()


def judge(disturbance: Disturbance | None, allowed: float = LOST_TIME_ALLOWED) -> Verdict:
    """Which disturbances make the run INVALID, and which the reader should know.

    Args:
        disturbance: as measured; None says nothing.
        allowed: share of the workers' cpu time, 0 to 1, that each may have taken.
    """
    if disturbance is None or disturbance.seconds < JUDGED_SECONDS:
        return Verdict()
    d = disturbance
    reasons: list[str] = []
    warnings: list[str] = []

    def weigh(lost_s: float | None, text: str) -> None:
        share = d.share(lost_s)
        if share >= LOST_TIME_NOTED:
            told = f"{text} ({lost_s:.3g} of {d.cpu_seconds:.4g} cpu-seconds, {share:.0%})"
            (reasons if share > allowed else warnings).append(told)

    weigh(d.lost_s, _about_others(d))
    if d.lost_s != d.others_s and d.share(d.lost_s) < LOST_TIME_NOTED <= d.share(d.others_s):
        ran = f"{d.others_s:.3g} of {d.cpu_seconds:.4g} cpu-seconds, {d.share(d.others_s):.0%}"
        warnings.append(
            f"other programs ran on the workers' cores ({ran}), and took little from them: "
            f"their threads waited {d.waited_s:.2g} s for a cpu"
        )
    weigh(d.stolen_s, "the hypervisor gave the workers' time to others")
    weigh(d.stopped_s, f"a cpu quota stopped the workers in {d.stopped_periods} of {d.periods} periods")
    pages_in, pages_out = d.swapped_in_pages or 0, d.swapped_out_pages or 0
    if pages_in or pages_out:
        sizes = f"{pages_in * PAGE_BYTES / MIB:.3g} MiB in, {pages_out * PAGE_BYTES / MIB:.3g} MiB out"
        waited = d.share(pages_in * SWAP_READ_S)
        (reasons if waited > allowed else warnings).append(f"the host swapped: {sizes}")
    if d.hot_events:
        warnings.append(f"the workers' cores were too hot and lowered their clock {d.hot_events} times")
    if d.first_mhz and d.last_mhz and d.last_mhz < (1 - FREQUENCY_DROP_NOTED) * d.first_mhz:
        warnings.append(f"the clock fell from {d.first_mhz:.0f} to {d.last_mhz:.0f} MHz: a longer run would be slower")
    return Verdict(tuple(reasons), tuple(warnings))
