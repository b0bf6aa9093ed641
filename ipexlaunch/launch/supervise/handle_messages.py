"""Act on what workers announce: that they are ready or finished, what they are busy with, what they have printed."""

from __future__ import annotations

from collections.abc import Callable

from ipexlaunch.launch.announced import Told
from ipexlaunch.launch.lifecycle import Event
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.drive_feeder import TendedFeeder
from ipexlaunch.launch.supervise.long_phases import LongPhases
from ipexlaunch.launch.supervise.message_protocol import Said
from ipexlaunch.launch.supervise.read_output import Listener
from ipexlaunch.launch.supervise.worker_set import Crew


def of_printed(problem: str) -> str:
    """What is wrong with a worker's lines, as a reason why the run is INVALID.

    Args:
        problem: of the line.
    """
    return f"--throughput-regex found what it cannot count: {problem}"


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
        if said.problem:
            crew.complain_once(place, f"said something that is not understood: {said.problem}")
        elif said.event == "progress":
            self._counted(place, now)
        elif said.event in ("phase", "invalid") and child.told is not None:
            self._keep_told(place, child.told, said, now)
        elif said.event == "ready" and child.ready is None:
            if child.printed is not None:
                self._listener.take_printed(child)  # what came before does not count
            children.begin_measurement(child, now)
            crew.look_at(child)
            self._feed(Event("ready", crew.clock(), place))  # the common start is not before the look is over
        elif said.event == "finished" and child.finished is None:
            child.finished = now
            crew.look_at(child)
            self._feed(Event("finished", now, place))
        elif said.event in ("want", "done", "failed"):
            if self._feeder is not None:
                if said.event == "want":
                    self._feed(Event("asked", now, place))
                self._feeder.said(place, said, now)
            else:
                crew.complain_once(place, "asks for items, but there are none: `ipexlaunch batch` gives them")

    def printed(self, place: int) -> None:
        """A worker has printed what counts."""
        self._counted(place, self._crew.clock())

    def printed_oddly(self, place: int, problem: str) -> None:
        """A worker has printed what should count and does not; the report says so at the end."""
        self._crew.means.tell(f"instance {self._crew.index(place)}: {of_printed(problem)}")

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

    def _keep_told(self, place: int, told: Told, said: Said, now: float) -> None:
        """Keep a phase or a doubt that a worker announced."""
        crew, child = self._crew, self._crew.children[place]
        if said.event == "invalid":
            if told.add_invalid(said.text):
                crew.means.tell(f"instance {crew.index(place)} is not to be believed: {told.invalid[-1]}")
        elif child.ready is None:
            # A clock of its own, such as that of a time namespace, would make phases longer than the run.
            begun = told.phases[-1].begin if told.phases else child.started
            told.begin_phase(said.text, said.time if begun <= said.time <= now else now)
            if self._long_phases is None and self._long_phase_s is not None:
                self._long_phases = LongPhases(self._long_phase_s)
            self._feed(Event("phase", now, place, detail=said.text))
        else:
            crew.complain_once(place, f"announced the phase {said.text!r} after it was ready; that is not reported")
