"""What is known of the children, as values: the record at the end, the snapshot while it lasts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ipexlaunch.documents.secret_values import mask_text
from ipexlaunch.launch import lifecycle
from ipexlaunch.launch.announced import COUNTED_NOTHING, Told
from ipexlaunch.launch.lifecycle import Failure, State, WorkerState
from ipexlaunch.launch.run_record import Run, WorkerRecord
from ipexlaunch.launch.snapshot import RATE_WINDOW_S, Snapshot, WorkerSnapshot
from ipexlaunch.launch.supervise.handle_messages import of_printed
from ipexlaunch.launch.supervise.output_streams import Log
from ipexlaunch.launch.supervise.worker_process import Child
from ipexlaunch.machine.cpulist import format_list


def account(
    children: Sequence[Child],
    state: State,
    ended: float,
    notes: Sequence[str],
    logs: Mapping[int, Log],
    *,
    over: bool = True,
) -> Run:
    """Everything that happened, once it is over, or so far."""
    pairs = zip(children, state.workers, strict=True)
    return Run(
        records=tuple(
            _record(child, worker, logs.get(child.worker.instance.index), over=over) for child, worker in pairs
        ),
        started=state.started,
        go=state.go,
        ended=ended,
        failures=_of_instances(state.failures, children),
        signal=state.signal,
        exit_code=lifecycle.exit_code(state),
        fed=state.limits.fed,
        fed_together=state.limits.fed_together,
        notes=(*notes, *_about_recovered(children, state), *_about_printed(children)) if over else tuple(notes),
        recovered=_of_instances(state.recovered, children),
        signalled=state.signalled,
        over=over,
    )


def _of_instances(failures: Sequence[Failure], children: Sequence[Child]) -> tuple[Failure, ...]:
    """The failures with the indices of the instances in place of the workers' places in the run."""
    return tuple(replace(failure, index=children[failure.index].worker.instance.index) for failure in failures)


def _about_recovered(children: Sequence[Child], state: State) -> list[str]:
    """What befell each instance that a restart answered, in one line for each."""
    notes = []
    for child, worker in zip(children, state.workers, strict=True):
        messages = Counter(failure.message for failure in state.recovered if failure.index == worker.index)
        total = messages.total()
        if not total:
            continue
        ends = " and ".join(f"{message}{_times(n) if n > 1 else ''}" for message, n in messages.items())
        restarted = ""
        if worker.restarts >= total:
            restarted = ", restarted" + (" each time" if total > 1 else "")
        elif worker.restarts:
            restarted = f", restarted{_times(worker.restarts)}"
        notes.append(f"instance {child.worker.instance.index} {ends}{restarted}")
    return notes


def _times(count: int) -> str:
    return " once" if count == 1 else f" {count} times"


def _about_printed(children: Sequence[Child]) -> list[str]:
    """What the user should know of --throughput-regex: whom it did not find, and whom it was not needed for."""
    ruled = [child for child in children if child.printed is not None]
    silent = [c for c in ruled if c.told is None or not any(COUNTED_NOTHING in reason for reason in c.told.invalid)]
    unfound = [c.worker.instance.index for c in silent if c.printed and not c.printed.matched and not c.samples.times]
    unneeded = [c.worker.instance.index for c in ruled if c.printed and c.printed.samples.times and c.samples.times]
    notes = []
    if unfound:
        notes.append(f"--throughput-regex matched no line of {_instances(unfound)}")
    if unneeded:
        notes.append(f"--throughput-regex is not used for {_instances(unneeded)}: the program counts by itself")
    return notes


def _instances(indices: Sequence[int]) -> str:
    return f"instance{'s' * (len(indices) > 1)} {format_list(frozenset(indices))}"


def _record(child: Child, worker: WorkerState, log: Log | None, *, over: bool) -> WorkerRecord:
    printed = child.printed
    if over and printed is not None and printed.doubt and not child.samples.times:
        child.told = child.told or Told()
        child.told.add_invalid(of_printed(printed.doubt))
    return WorkerRecord(
        instance=child.worker.instance,
        pid=child.process.pid if child.process is not None else None,
        started=child.started,
        ready=child.ready,
        finished=child.finished,
        exit_code=worker.exit_code or 0,
        samples=child.counts[0],
        binding=child.binding,
        placements=tuple(child.placements),
        cpu_s=child.cpu_s,
        peak_memory_bytes=child.peak_memory_bytes,
        log=log.path if log is not None else "",
        told=child.told,
        claimed_rate=printed.claimed_rate if printed is not None else None,
        exited=child.exited,
    )


def snapshot(children: Sequence[Child], state: State, now: float) -> Snapshot:
    """How the run stands now."""
    failed = {failure.index for failure in state.failures}
    workers = tuple(
        replace(_worker(child, worker, now), stopped=bool(worker.exit_code) and worker.index not in failed)
        for child, worker in zip(children, state.workers, strict=True)
    )
    rates = [worker.rate for worker in workers if worker.rate is not None]
    return Snapshot(
        elapsed_s=now - state.started,
        measured_s=None if state.go is None else now - state.go,
        workers=workers,
        rate=sum(rates) if rates else None,
        failures=tuple(f"instance {f.index} {f.message}" for f in _of_instances(state.failures, children)),
    )


def _worker(child: Child, worker: WorkerState, now: float) -> WorkerSnapshot:
    instance, last = child.worker.instance, child.placements[-1] if child.placements else None
    samples, tally = child.counts
    tally.update(samples)
    return WorkerSnapshot(
        index=instance.index,
        pid=child.process.pid if child.process is not None and worker.phase not in ("waiting", "exited") else None,
        phase=worker.phase,
        cpus=instance.cpus,
        nodes=instance.nodes,
        memory=child.binding.memory if child.binding is not None else instance.memory,
        items=tally.items,
        tokens=tally.tokens,
        rate=_present_rate(child, worker, now),
        local_pages=last.local_share(instance.nodes) if last is not None else None,
        last_line=mask_text(child.last_line),  # drawings strip its colours
        exit_code=worker.exit_code,
        restarts=worker.restarts,
        busy_with=worker.busy_with,
        busy_s=now - worker.busy_since if worker.busy_with else None,
    )


def _present_rate(child: Child, worker: WorkerState, now: float) -> float | None:
    """Items per second over the last RATE_WINDOW_S, or since the start where that is less; 0 once it has ended."""
    samples, _ = child.counts
    times, items = samples.times, samples.items
    if not times:
        return None
    if worker.phase in ("finished", "exited"):
        return 0.0
    begin = now - RATE_WINDOW_S
    since = begin if child.ready is None else max(begin, child.ready)
    recent = 0
    for i in range(len(times) - 1, -1, -1):
        if times[i] <= since:
            break
        recent += items[i]
    return recent / (now - since) if now > since else 0.0
