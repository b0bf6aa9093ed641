"""Act on what workers announce: that they are ready or finished, what they are busy with, what they have printed."""

from __future__ import annotations

from collections.abc import Callable

from ipexlaunch.launch.announced import COUNTED_NOTHING
from ipexlaunch.launch.lifecycle import Event
from ipexlaunch.launch.run_events import PhaseSeen, WorkerFinished
from ipexlaunch.launch.supervise.counts_in_output import PrintedCounts, of_printed
from ipexlaunch.launch.supervise.drive_feeder import TendedFeeder
from ipexlaunch.launch.supervise.long_phases import LongPhases
from ipexlaunch.launch.supervise.message_protocol import Said
from ipexlaunch.launch.supervise.read_output import Listener
from ipexlaunch.launch.supervise.uncounted import UNWATCHED, what_ran_below
from ipexlaunch.launch.supervise.worker_set import Crew
from ipexlaunch.launch.throughput_regex import LineRule


class Announcements:
    """What becomes of each message of a worker."""

    def __init__(
        self,
        crew: Crew,
        listener: Listener,
        feed: Callable[[Event], None],
        feeder: TendedFeeder | None,
        long_phase_s: float | None,
    ) -> None:
        """Begin with nothing announced.

        Args:
            crew: the workers.
            listener: takes their output.
            feed: tells the life of the run what happened.
            feeder: gives the workers their items; None where they have their own.
            long_phase_s: what a worker is busy with for so long is told; None for never.
        """
        self._crew = crew
        self._listener = listener
        self._feed = feed
        self._feeder = feeder
        self._long_phase_s = long_phase_s
        self._long_phases: LongPhases | None = None
        self.long_phase_due: float | None = None
        """When the next line about long phases is due."""

    def heard(self, place: int, said: Said, now: float) -> None:
        """Act on one message.

        Args:
            place: the worker's.
            said: what it announced.
            now: seconds of the supervisor's clock.
        """
        crew, child = self._crew, self._crew.children[place]
        crew.take_arrived(place)
        record = crew.record(place)
        if said.problem:
            crew.complain_once(place, f"said something that is not understood: {said.problem}")
        elif said.event == "progress":
            self._counted(place, now)
        elif said.event == "invalid":
            below = what_ran_below(child) if COUNTED_NOTHING in said.text else ""
            if reason := crew.doubt(place, said.text + below + UNWATCHED * bool(below)):
                short = said.text if below and reason.startswith(said.text) else reason
                crew.means.tell(f"instance {crew.index(place)} is not to be believed: {short}")
        elif said.event == "phase":
            self._phase(place, said, now)
        elif said.event == "ready" and record.ready is None:
            if child.printed is not None:
                self._listener.take_printed(child)  # what came before does not count
            crew.begin_measurement(place, now)
            crew.look_at(place)
            self._feed(Event("ready", crew.clock(), place))  # the common start is not before the look is over
        elif said.event == "finished" and record.finished is None:
            crew.add(WorkerFinished(crew.index(place), now))
            crew.look_at(place)
            self._feed(Event("finished", now, place))
        elif said.event in ("want", "done", "failed"):
            if self._feeder is not None:
                if said.event == "want":
                    self._feed(Event("asked", now, place))
                self._feeder.said(place, said, now)
            else:
                crew.complain_once(place, "asks for items, but there are none: `ipexlaunch batch` gives them")

    def count_lines(self, place: int, rule: LineRule) -> None:
        """Count in what a worker prints.

        Args:
            place: the worker's.
            rule: what a line counts.
        """
        crew, child = self._crew, self._crew.children[place]

        def counted() -> None:
            crew.count_printed(place, printed.samples)
            self._counted(place, crew.clock())

        def complain(problem: str) -> None:
            """The report says so at the end."""
            crew.means.tell(f"instance {crew.index(place)}: {of_printed(problem)}")

        child.printed = printed = PrintedCounts(rule, crew.clock, counted, complain)

    def follow_phases(self, now: float) -> None:
        """Say what workers have been busy with for long, and note when the next line is due."""
        if self._long_phases is None:
            return
        crew = self._crew
        pairs = zip(crew.children, crew.state.workers, strict=True)
        busy = [(c.worker.instance.index, w.busy_with, w.busy_since) for c, w in pairs if w.busy_with]
        if crew.state.stopping:
            busy.clear()
        line = self._long_phases.line(busy, now)
        if line:
            crew.means.tell(line)
        self.long_phase_due = self._long_phases.due(busy)

    def _counted(self, place: int, now: float) -> None:
        if self._crew.limits.stall_timeout_s is not None:
            self._feed(Event("counted", now, place))

    def _phase(self, place: int, said: Said, now: float) -> None:
        """Keep a phase that a worker announced."""
        crew, record = self._crew, self._crew.record(place)
        if record.ready is not None:
            crew.complain_once(place, f"announced the phase {said.text!r} after it was ready; that is not reported")
            return
        # A clock of its own, such as that of a time namespace, would make phases longer than the run.
        begun = record.told.phases[-1].begin if record.told and record.told.phases else record.started
        begin = said.time if begun <= said.time <= now else now
        crew.add(PhaseSeen(crew.index(place), said.text, begin))
        if self._long_phases is None and self._long_phase_s is not None:
            self._long_phases = LongPhases(self._long_phase_s)
        self._feed(Event("phase", now, place, detail=said.text))
