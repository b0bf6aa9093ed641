"""What the parts of the loop share: the workers of a run, how it stands, its events, and how the user is told."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

from ipexlaunch.doctor.worker_variables import preloaded_in
from ipexlaunch.documents.secret_values import mask_text
from ipexlaunch.launch import lifecycle
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.lifecycle import Failure, Limits, State
from ipexlaunch.launch.placement.placement import Placement, together
from ipexlaunch.launch.placement.proc_text import resident_of
from ipexlaunch.launch.run_events import (
    DurationsReported,
    FactReported,
    FailureSeen,
    InvalidReported,
    ItemsCounted,
    NoteAdded,
    OtherHostLost,
    RecoveredFailureSeen,
    RunBegan,
    RunEnded,
    RunEvent,
    RunSignalled,
    StartGiven,
    WorkerExited,
    WorkerInspected,
    WorkerReady,
    WorkerRestated,
    WorkerStarted,
)
from ipexlaunch.launch.run_record import Announced, Run, Samples, Snapshot, Spent, Tally, WorkerRecord
from ipexlaunch.launch.run_so_far import RunSoFar
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.interfaces import Observer, SupervisorCallbacks
from ipexlaunch.launch.supervise.take_snapshot import closing_notes, snapshot
from ipexlaunch.launch.supervise.worker_process import WorkerProcess
from ipexlaunch.machine.cpulist import Ids
from ipexlaunch.machine.proc_files import text_of


class WorkerSet:
    """The workers of one run; a worker's place is its number among them, which need not be its instance's index."""

    def __init__(
        self,
        launch: Launch,
        callbacks: SupervisorCallbacks,
        limits: Limits,
        inherited: Mapping[str, str],
        observers: Sequence[Observer],
        host_cpus: int,
        logs: Mapping[int, str],
    ) -> None:
        """Begin with all of them waiting to be started.

        Args:
            launch: what is to be started.
            callbacks: acts that are needed from elsewhere.
            limits: time limits and what a failure does.
            inherited: the environment that the workers get beside their own.
            observers: told of each event.
            host_cpus: how many cpus the readings of the host are for.
            logs: instance index to the path of its log file.
        """
        self.callbacks = callbacks
        self.clock = callbacks.clock
        self.limits = limits
        self.children = [WorkerProcess(worker=worker) for worker in launch.workers]
        self.preloads_by_request = tuple(launch.job.libraries.values())
        self.so_far = RunSoFar()
        """The run, as its events make it."""
        self.by_pid: dict[int, int] = {}
        """Of the workers that run, to their places."""
        self.templates: dict[int, int] = {}
        """Processes that workers were forked from, by the one worker that answers for what each costs."""
        self.state = lifecycle.begin(len(self.children), limits, self.clock())
        self._inherited = inherited
        self._observers = observers
        self._logs = logs
        for observer in observers:
            observer.begin(self.add)
        self.add(RunBegan(self.state.started, limits.fed, limits.fed_together, host_cpus, limits.serving))
        for note in launch.notes:
            self.add(NoteAdded(mask_text(note)))
        for child in self.children:
            self.add(WorkerStarted(0.0, None, child.worker.instance, None))

    def index(self, place: int) -> int:
        """The index of a worker's instance, as people read it."""
        return self.children[place].worker.instance.index

    def record(self, place: int) -> WorkerRecord:
        """What is known of a worker."""
        return self.so_far.workers[self.index(place)]

    def add(self, event: RunEvent) -> None:
        """Something has happened."""
        self.so_far.add(event)
        for observer in self._observers:
            observer.on_event(event)

    def add_transition(self, before: State, ended: int | None) -> None:
        """The state of the run has changed.

        Args:
            before: how it was.
            ended: the place of a worker whose process has ended.
        """
        state = self.state
        if state.go is not None and before.go is None:
            self.add(StartGiven(state.go))
        if state.signalled is not None and before.signalled is None:
            self.add(RunSignalled(state.signalled, state.signal or 0))
        if state.lost and not before.lost:
            self.add(OtherHostLost(self.clock(), state.lost))
        self._add_failures(state.failures[len(before.failures) :], recovered=False)
        self._add_failures(state.recovered[len(before.recovered) :], recovered=True)
        for old, new in zip(before.workers, state.workers, strict=True):
            if new.exit_code != old.exit_code or new.index == ended:
                self.add_exit(new.index)

    def _add_failures(self, failures: Sequence[Failure], *, recovered: bool) -> None:
        kind = RecoveredFailureSeen if recovered else FailureSeen
        for failure in failures:
            self.add(kind(**asdict(replace(failure, index=self.index(failure.index)))))

    def add_start(self, place: int) -> None:
        """A worker has been started, or could not be."""
        child = self.children[place]
        pid = child.process.pid if child.process is not None else None
        self.add(WorkerStarted(child.started, pid, child.worker.instance, child.binding))
        self.add_exit(place)

    def add_exit(self, place: int) -> None:
        """What is known of a worker's end has changed."""
        child, index = self.children[place], self.index(place)
        event = WorkerExited(
            index=index,
            time=child.started if child.exited is None else child.exited,
            code=self.state.workers[place].exit_code or 0,
            seen=child.exited is not None,
            cpu_s=child.cpu_s,
            peak_memory_bytes=child.peak_memory_bytes,
            claimed_rate=child.printed.claimed_rate if child.printed is not None else None,
            log=self._logs.get(index, ""),
        )
        self.add(event)

    def add_claims(self) -> None:
        """Take over what workers have printed of their own rates."""
        for place, child in enumerate(self.children):
            if child.printed is not None and child.printed.claimed_rate != self.record(place).claimed_rate:
                self.add_exit(place)

    def begin_attempt(self, place: int) -> None:
        """A worker is started again: of the former attempt its counts and its doubts stay."""
        children.begin_attempt(self.children[place])
        doubts = list((self.record(place).told or Announced()).invalid)
        self.add(WorkerRestated(self.index(place), "worker"))
        for doubt in doubts:
            self.add(InvalidReported(self.index(place), doubt))

    def doubt(self, place: int, reason: str) -> str:
        """Have a worker's results doubted; how the reason is kept, "" where it is not new, or there are enough."""
        kept = (self.record(place).told or Announced()).kept_reason(reason)
        if kept:
            self.add(InvalidReported(self.index(place), kept))
        return kept

    def take_arrived(self, place: int) -> None:
        """Take over what a worker has counted and told beside its announcements."""
        child, index = self.children[place], self.index(place)
        if child.arrived.times:
            self.count(place, child.arrived)
            child.arrived = Samples()
        told = child.told
        for name, values_s in told.durations_s.items():
            self.add(DurationsReported(index, name, list(values_s)))
        if told.facts:
            known = (self.record(place).told or Announced()).facts
            for name, value in told.facts.items():
                if name not in known or known[name] != value:
                    self.add(FactReported(index, name, value))
        told.durations_s, told.facts = {}, {}

    def count(self, place: int, samples: Samples) -> None:
        """A worker has counted; what its output counts holds only until then."""
        child = self.children[place]
        if not child.counts_itself:
            child.counts_itself = True
            self._forget_counts(place)
        self.add(ItemsCounted(self.index(place), samples))

    def count_printed(self, place: int, printed: Samples) -> None:
        """A worker's output has counted something."""
        if not self.children[place].counts_itself:
            known = len(self.record(place).samples.times)
            self.add(ItemsCounted(self.index(place), printed.since(known)))

    def begin_measurement(self, place: int, now: float, spent: Spent | None) -> None:
        """The worker is ready: what it was busy with is over, and what it prints counts from now on."""
        child = self.children[place]
        self.add(WorkerReady(self.index(place), now, spent))
        if child.printed is not None and child.printed.begin() and not child.counts_itself:
            self._forget_counts(place)

    def _forget_counts(self, place: int) -> None:
        if self.record(place).samples.times:
            self.children[place].tally = Tally()
            self.add(WorkerRestated(self.index(place), "counts"))

    def preloads_of(self, place: int) -> list[str]:
        """The libraries that were preloaded into a worker, by us or by the user."""
        return preloaded_in({**self._inherited, **self.children[place].worker.environment})

    def note(self, text: str) -> None:
        """Say it now and keep it for the report, without secrets."""
        text = mask_text(text)
        self.add(NoteAdded(text))
        self.callbacks.tell(text)

    def note_of(self, place: int, text: str) -> None:
        """The same of one worker."""
        self.note(f"instance {self.index(place)} {text}")

    def complain_once(self, place: int, text: str) -> None:
        """Note what a worker does wrong, unless that was done before: it may do it a thousand times."""
        child = self.children[place]
        if not child.warned:
            child.warned = True
            self.note_of(place, text)

    def now(self) -> Snapshot:
        """How the run stands."""
        return snapshot(self.children, self.state, self.so_far.workers, self.clock())

    def look_at(self, place: int) -> None:
        """Read back where a worker is that waits for our answer meanwhile, so that nothing moves."""
        self._look(place, self.callbacks.read_placement, waits=True)

    def look_at_all(self) -> None:
        """Read back where every worker is that runs or never reports, as far as the cost allows."""
        self.glance_at([worker.index for worker in self.state.workers if worker.phase in ("starting", "running")])

    def glance_at(self, places: Sequence[int]) -> None:
        """Look at these; before their end, because what memory they had at most is not told afterwards."""
        for place in places:
            self._look(place, self.callbacks.read_placement_if_cheap, waits=False)

    def _look(self, place: int, read: Callable[[int, Ids], Placement | None], *, waits: bool) -> None:
        process, instance = self.children[place].process, self.children[place].worker.instance
        if process is not None:
            for observer in self._observers:
                observer.on_looked(process.pid, waits=waits)
            placement = read(process.pid, instance.cpus)
            if placement is not None:
                if placement.resident is not None and place in self.templates:
                    of_template = resident_of(text_of(f"/proc/{self.templates[place]}/smaps_rollup") or "")
                    parts = filter(None, [placement.resident, of_template])
                    placement = replace(placement, resident=together(parts))
                self.add(WorkerInspected(self.index(place), placement))

    def process_ended(self, pid: int) -> None:
        """A worker's process has ended and is not forgotten yet."""
        for observer in self._observers:
            observer.on_ended(pid)

    def end(self) -> Run:
        """The run is over; everything that happened."""
        if self.state.recovered or any(child.printed is not None for child in self.children):
            for note in closing_notes(self.children, self.state, self.so_far.workers):
                self.add(NoteAdded(note))
        now = self.clock()
        self.add(RunEnded(now, lifecycle.exit_code(self.state), tuple(self.so_far.notes)))
        return self.so_far.run(now)

    def signal_all(self, places: Sequence[int], number: signal.Signals) -> None:
        """Signal the process groups of these workers; a stopped one must run to be able to end."""
        for place in places:
            children.signal_group(self.children[place], number)
            children.signal_group(self.children[place], signal.SIGCONT)
