"""How the workers stand at one moment, and what is to be said of them at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ipexlaunch.documents.secret_values import mask_text
from ipexlaunch.launch.lifecycle import Failure, State, WorkerState
from ipexlaunch.launch.run_record import COUNTED_NOTHING, RATE_WINDOW_S, Snapshot, WorkerRecord, WorkerSnapshot
from ipexlaunch.launch.supervise.worker_process import WorkerProcess
from ipexlaunch.machine.cpulist import format_list


def of_instances(failures: Sequence[Failure], children: Sequence[WorkerProcess]) -> tuple[Failure, ...]:
    """The failures with the indices of the instances in place of the workers' places in the run."""
    return tuple(replace(failure, index=children[failure.index].worker.instance.index) for failure in failures)


def closing_notes(children: Sequence[WorkerProcess], state: State, records: Mapping[int, WorkerRecord]) -> list[str]:
    """What is to be said once a run is over.

    Args:
        children: the workers.
        state: of the run.
        records: what their events have told, by the index of the instance.
    """
    return [*_about_recovered(children, state), *_about_printed(children, records)]


def _about_recovered(children: Sequence[WorkerProcess], state: State) -> list[str]:
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


def _about_printed(children: Sequence[WorkerProcess], records: Mapping[int, WorkerRecord]) -> list[str]:
    """What the user should know of --throughput-regex: whom it did not find, and whom it was not needed for."""
    ruled = [child for child in children if child.printed is not None]
    told = {child.worker.instance.index: records[child.worker.instance.index].told for child in ruled}
    explained = {i for i, t in told.items() if t is not None and any(COUNTED_NOTHING in why for why in t.invalid)}
    silent = [child for child in ruled if child.worker.instance.index not in explained]
    unfound = [c.worker.instance.index for c in silent if c.printed and not c.printed.matched and not c.counts_itself]
    unneeded = [c.worker.instance.index for c in ruled if c.printed and c.printed.samples.times and c.counts_itself]
    notes = []
    if unfound:
        notes.append(f"--throughput-regex matched no line of {_instances(unfound)}")
    if unneeded:
        notes.append(f"--throughput-regex is not used for {_instances(unneeded)}: the program counts by itself")
    return notes


def _instances(indices: Sequence[int]) -> str:
    return f"instance{'s' * (len(indices) > 1)} {format_list(frozenset(indices))}"


def snapshot(
    children: Sequence[WorkerProcess], state: State, records: Mapping[int, WorkerRecord], now: float
) -> Snapshot:
    """How the run stands.

    Args:
        children: the workers.
        state: of the run.
        records: what their events have told, by the index of the instance.
        now: seconds of the supervisor's clock.
    """
    failed = {failure.index for failure in state.failures}
    workers = []
    for child, worker in zip(children, state.workers, strict=True):
        shown = _worker(child, records[child.worker.instance.index], worker, now)
        workers.append(replace(shown, stopped=bool(worker.exit_code) and worker.index not in failed))
    rates = [worker.rate for worker in workers if worker.rate is not None]
    return Snapshot(
        elapsed_s=now - state.started,
        measured_s=None if state.go is None else now - state.go,
        workers=tuple(workers),
        rate=sum(rates) if rates else None,
        failures=tuple(f"instance {f.index} {f.message}" for f in of_instances(state.failures, children)),
    )


def _worker(child: WorkerProcess, record: WorkerRecord, worker: WorkerState, now: float) -> WorkerSnapshot:
    instance, last = record.instance, record.placements[-1] if record.placements else None
    child.tally.update(record.samples)
    return WorkerSnapshot(
        index=instance.index,
        pid=child.process.pid if child.process is not None and worker.phase not in ("waiting", "exited") else None,
        phase=worker.phase,
        cpus=instance.cpus,
        nodes=instance.nodes,
        memory=record.binding.memory if record.binding is not None else instance.memory,
        items=child.tally.items,
        tokens=child.tally.tokens,
        rate=_present_rate(record, worker, now),
        local_pages=last.local_share(instance.nodes) if last is not None else None,
        last_line=mask_text(child.last_line),  # drawings strip its colours
        exit_code=worker.exit_code,
        restarts=worker.restarts,
        busy_with=worker.busy_with,
        busy_s=now - worker.busy_since if worker.busy_with else None,
        in_flight=child.in_flight,
    )


def _present_rate(record: WorkerRecord, worker: WorkerState, now: float) -> float | None:
    """Items per second over the last RATE_WINDOW_S, or since the start where that is less; 0 once it has ended."""
    times, items = record.samples.times, record.samples.items
    if not times:
        return None
    if worker.phase in ("finished", "exited"):
        return 0.0
    begin = now - RATE_WINDOW_S
    since = begin if record.ready is None else max(begin, record.ready)
    recent = 0
    for i in range(len(times) - 1, -1, -1):
        if times[i] <= since:
            break
        recent += items[i]
    return recent / (now - since) if now > since else 0.0
