"""Act on what workers announce: that they are ready or finished, what they are busy with, what they have printed, which
items they want.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ipexlaunch.launch.lifecycle import Event
from ipexlaunch.launch.run_events import PhaseSeen, WorkerFinished
from ipexlaunch.launch.run_record import COUNTED_NOTHING, Samples
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.counts_in_output import PrintedCounts, uncountable_text
from ipexlaunch.launch.supervise.descendants import UNWATCHED, descendants_text
from ipexlaunch.launch.supervise.interfaces import Count, Feeder, FeederCommand, Kill, Notice, Send
from ipexlaunch.launch.supervise.message_protocol import WorkerMessage
from ipexlaunch.launch.supervise.selector import OutputReader
from ipexlaunch.launch.supervise.worker_set import WorkerSet
from ipexlaunch.launch.throughput_regex import LineRule
from ipexlaunch.launch.wait_for_disk import DiskThread

LINE_INTERVAL_S = 30.0
"""Between two lines about phases of one name, whoever is in them."""

Busy = tuple[int, str, float]
"""Instance index, what it is busy with, since when."""


@dataclass(slots=True)
class LongPhases:
    """Remembers what was reported of which phase; it has no clock."""

    _long_s: float
    """A phase that is over sooner is not worth a line."""
    next_due: float | None = field(default=None, init=False)
    """When the next line is due if nobody's phase changes; None where nobody is busy."""
    _told: dict[str, float] = field(default_factory=dict, init=False)
    _last: float | None = field(default=None, init=False)

    def follow(self, worker_set: WorkerSet, now: float) -> None:
        """Say what workers have been busy with for long, and note when the next line is due."""
        pairs = zip(worker_set.children, worker_set.state.workers, strict=True)
        busy = [(c.worker.instance.index, w.busy_with, w.busy_since) for c, w in pairs if w.busy_with]
        if worker_set.state.stopping:
            busy.clear()
        line = self.line(busy, now)
        if line:
            worker_set.callbacks.tell(line)
        self.next_due = self.due(busy)

    def due(self, busy: Iterable[Busy]) -> float | None:
        """When the next line is due if nobody's phase changes; None where nobody is busy."""
        return min((self._due_of(name, group) for name, group in _by_name(busy).items()), default=None)

    def line(self, busy: Iterable[Busy], now: float) -> str:
        """What is to be told now, such as "[0] compiling, 10 s" or "compiling: 3 workers, 41 s"; "" where nothing is.

        A line that is due takes along the phases that are nearly long, so that all go on in step.
        """
        groups = _by_name(busy)
        if all(self._due_of(name, group) > now for name, group in groups.items()):
            return ""
        parts = []
        for name, group in groups.items():
            seconds = now - min(since for _, since in group)
            if seconds < self._long_s / 2:
                continue
            self._told[name] = self._last = now
            who = f"[{group[0][0]}] {name}" if len(group) == 1 else f"{name}: {len(group)} workers"
            parts.append(f"{who}, {seconds:.0f} s")
        return "; ".join(parts)

    def _due_of(self, name: str, group: list[tuple[int, float]]) -> float:
        due = min(since for _, since in group) + self._long_s
        if self._last is not None:
            due = max(due, self._last + self._long_s)
        return max(due, self._told[name] + LINE_INTERVAL_S) if name in self._told else due


def _by_name(busy: Iterable[Busy]) -> dict[str, list[tuple[int, float]]]:
    groups: dict[str, list[tuple[int, float]]] = {}
    for index, name, since in busy:
        groups.setdefault(name, []).append((index, since))
    return groups


class FeederDriver:
    """A feeder whose wishes are carried out after each thing that it is told."""

    def __init__(
        self, feeder: Feeder, worker_set: WorkerSet, listener: OutputReader, feed: Callable[[Event], None]
    ) -> None:
        """Begin with nothing given out.

        Args:
            feeder: gives the workers their items.
            worker_set: the workers.
            listener: sends them what the feeder has for them.
            feed: tells the life of the run what happened.
        """
        self._feeder = feeder
        self._worker_set = worker_set
        self._listener = listener
        self._feed = feed

    def said(self, place: int, said: WorkerMessage, now: float) -> None:
        """A worker wants batches, or has begun one, or done one, or failed on one."""
        if said.event == "failed" and self._worker_set.state.stopping:
            return  # it was asked to end in the middle of a batch, which is no fault of the batch
        self._obey(self._feeder.said(place, said, now))

    def lost(self, place: int, reason: str, now: float) -> None:
        """A worker has ended, after its last words were heard; one that was asked to end is blamed for nothing."""
        self._obey(self._feeder.lost(place, reason, now, is_blamed=not self._worker_set.state.stopping))
        self._end_where_over(now)

    def drain(self, now: float) -> None:
        """Have nothing more given out."""
        self._obey(self._feeder.drain(now))
        self._end_where_over(now)

    def mind(self, now: float) -> None:
        """Let the feeder do what is due, and tell the life of the run once nothing is left or it cannot go on."""
        feeder, state = self._feeder, self._worker_set.state
        due = feeder.due()
        if due is not None and now >= due:
            self._obey(feeder.tick(now))
        if feeder.problem and not state.stopping:
            self._worker_set.callbacks.tell(feeder.problem)  # the report has it among its reasons
            self._feed(Event("abandoned", now))
        else:
            self._end_where_over(now)

    def end(self, wait: Callable[[DiskThread], None]) -> None:
        """Everybody has ended: what was done and is not durable yet becomes so.

        Args:
            wait: returns once there is an answer, or raises an IpexLaunchError where there is none.
        """
        self._obey(self._feeder.close(self._worker_set.clock(), wait))

    def _end_where_over(self, now: float) -> None:
        """Tell the life of the run that nothing is left: who ends well after that is not started again."""
        if self._feeder.over and not self._worker_set.state.drained:
            self._feed(Event("drained", now))

    def _obey(self, commands: Sequence[FeederCommand]) -> None:
        worker_set = self._worker_set
        for command in commands:
            match command:
                case Send(place, line):
                    if not worker_set.state.stopping:
                        self._listener.send(place, worker_set.children[place], line)
                case Count():
                    samples = Samples()
                    samples.add(command.time, command.items, 0, command.latency_s)
                    worker_set.count(command.worker, samples)
                case Notice(text):
                    worker_set.note(text)
                case Kill(place, reason):
                    self._feed(Event("stuck", worker_set.clock(), place, detail=reason))
                    children.signal_group(worker_set.children[place], signal.SIGKILL)


@dataclass(slots=True)
class MessageHandler:
    """What becomes of each message of a worker."""

    worker_set: WorkerSet
    listener: OutputReader
    """Takes their output."""
    feed: Callable[[Event], None]
    """Tells the life of the run what happened."""
    feeder: FeederDriver | None
    """Gives the workers their items; None where they have their own."""
    long_phase_s: float | None
    """What a worker is busy with for so long is told; None for never."""
    long_phases: LongPhases | None = field(default=None, init=False)
    """Which are told of; None until somebody announces a phase, or where none is told."""

    def heard(self, place: int, said: WorkerMessage, now: float) -> None:
        """Act on one message.

        Args:
            place: the worker's.
            said: what it announced.
            now: seconds of the supervisor's clock.
        """
        worker_set, child = self.worker_set, self.worker_set.children[place]
        worker_set.take_arrived(place)
        record = worker_set.record(place)
        if said.problem:
            worker_set.complain_once(place, f"said something that is not understood: {said.problem}")
        elif said.event == "progress":
            self._counted(place, now)
        elif said.event == "invalid":
            below = descendants_text(child) if COUNTED_NOTHING in said.text else ""
            if reason := worker_set.doubt(place, said.text + below + UNWATCHED * bool(below)):
                short = said.text if below and reason.startswith(said.text) else reason
                worker_set.callbacks.tell(f"instance {worker_set.index(place)} is not to be believed: {short}")
        elif said.event == "phase":
            self._phase(place, said, now)
        elif said.event == "ready" and record.ready is None:
            if child.printed is not None:
                self.listener.take_printed(child)  # what came before does not count
            worker_set.begin_measurement(place, now, said.spent)
            worker_set.look_at(place)
            self.feed(Event("ready", worker_set.clock(), place))  # the common start is not before the look is over
        elif said.event == "finished" and record.finished is None:
            worker_set.add(WorkerFinished(worker_set.index(place), now))
            worker_set.look_at(place)
            self.feed(Event("finished", now, place))
        elif said.event in ("want", "done", "failed"):
            if self.feeder is not None:
                if said.event == "want":
                    self.feed(Event("asked", now, place))
                self.feeder.said(place, said, now)
            else:
                worker_set.complain_once(place, "asks for items, but there are none: `ipexlaunch batch` gives them")

    def is_ready(self, place: int) -> None:
        """Somebody else than the worker says that it is ready.

        Args:
            place: the worker's.
        """
        now = self.worker_set.clock()
        if self.worker_set.state.workers[place].phase == "starting":
            self.heard(place, WorkerMessage(event="ready", time=now), now)

    def count_lines(self, place: int, rule: LineRule) -> None:
        """Count in what a worker prints.

        Args:
            place: the worker's.
            rule: what a line counts.
        """
        worker_set, child = self.worker_set, self.worker_set.children[place]

        def counted() -> None:
            worker_set.count_printed(place, printed.samples)
            self._counted(place, worker_set.clock())

        def complain(problem: str) -> None:
            """The report says so at the end."""
            worker_set.callbacks.tell(f"instance {worker_set.index(place)}: {uncountable_text(problem)}")

        child.printed = printed = PrintedCounts(rule, worker_set.clock, counted, complain)

    def end_phase(self, place: int, now: float) -> None:
        """What the worker was busy with is over, and nothing is known of what follows.

        Args:
            place: the worker's.
            now: seconds of the supervisor's clock.
        """
        told = self.worker_set.record(place).told
        if told is not None and told.phases and told.phases[-1].end is None:
            last = told.phases[-1]
            self.worker_set.add(PhaseSeen(self.worker_set.index(place), last.name, last.begin, now))
        self.feed(Event("phase", now, place, detail=""))

    def _counted(self, place: int, now: float) -> None:
        if self.worker_set.limits.stall_timeout_s is not None:
            self.feed(Event("counted", now, place))

    def _phase(self, place: int, said: WorkerMessage, now: float) -> None:
        """Keep a phase that a worker announced."""
        worker_set, record = self.worker_set, self.worker_set.record(place)
        if record.ready is not None:
            worker_set.complain_once(
                place, f"announced the phase {said.text!r} after it was ready; that is not reported"
            )
            return
        # A clock of its own, such as that of a time namespace, would make phases longer than the run.
        begun = record.told.phases[-1].begin if record.told and record.told.phases else record.started
        begin = said.time if begun <= said.time <= now else now
        worker_set.add(PhaseSeen(worker_set.index(place), said.text, begin, spent=said.spent))
        if self.long_phases is None and self.long_phase_s is not None:
            self.long_phases = LongPhases(self.long_phase_s)
        self.feed(Event("phase", now, place, detail=said.text))
