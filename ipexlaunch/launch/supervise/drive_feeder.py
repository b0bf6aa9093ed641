"""Stand between the loop and the feeder: tell it what happens, do what it wants done, notice when it is over."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

from ipexlaunch.launch.lifecycle import Event
from ipexlaunch.launch.samples import Samples
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.feeder_protocol import Count, Feeder, FeederCommand, Kill, Notice, Send
from ipexlaunch.launch.supervise.message_protocol import Said
from ipexlaunch.launch.supervise.read_output import Listener
from ipexlaunch.launch.supervise.worker_set import Crew
from ipexlaunch.launch.wait_for_disk import DiskThread


class TendedFeeder:
    """A feeder whose wishes are carried out after each thing that it is told."""

    def __init__(self, feeder: Feeder, crew: Crew, listener: Listener, feed: Callable[[Event], None]) -> None:
        """Begin with nothing given out.

        Args:
            feeder: gives the workers their items.
            crew: the workers.
            listener: sends them what the feeder has for them.
            feed: tells the life of the run what happened.
        """
        self._feeder = feeder
        self._crew = crew
        self._listener = listener
        self._feed = feed

    def said(self, place: int, said: Said, now: float) -> None:
        """A worker wants batches, or has begun one, or done one, or failed on one."""
        if said.event == "failed" and self._crew.state.stopping:
            return  # it was asked to end in the middle of a batch, which is no fault of the batch
        self._obey(self._feeder.said(place, said, now))

    def lost(self, place: int, reason: str, now: float) -> None:
        """A worker has ended, after its last words were heard; one that was asked to end is blamed for nothing."""
        self._obey(self._feeder.lost(place, reason, now, is_blamed=not self._crew.state.stopping))
        self._end_where_over(now)

    def mind(self, now: float) -> None:
        """Let the feeder do what is due, and tell the life of the run once nothing is left or it cannot go on."""
        feeder, state = self._feeder, self._crew.state
        due = feeder.due()
        if due is not None and now >= due:
            self._obey(feeder.tick(now))
        if feeder.problem and not state.stopping:
            self._crew.means.tell(feeder.problem)  # the report has it among its reasons
            self._feed(Event("abandoned", now))
        else:
            self._end_where_over(now)

    def end(self, wait: Callable[[DiskThread], None]) -> None:
        """Everybody has ended: what was done and is not durable yet becomes so.

        Args:
            wait: returns once there is an answer, or raises an IpexLaunchError where there is none.
        """
        self._obey(self._feeder.close(self._crew.clock(), wait))

    def _end_where_over(self, now: float) -> None:
        """Tell the life of the run that nothing is left: who ends well after that is not started again."""
        if self._feeder.over and not self._crew.state.drained:
            self._feed(Event("drained", now))

    def _obey(self, commands: Sequence[FeederCommand]) -> None:
        crew = self._crew
        for command in commands:
            match command:
                case Send(place, line):
                    if not crew.state.stopping:
                        self._listener.send(place, crew.children[place], line)
                case Count():
                    samples = Samples()
                    samples.add(command.time, command.items, 0, command.latency_s)
                    crew.count(command.worker, samples)
                case Notice(text):
                    crew.note(text)
                case Kill(place, reason):
                    self._feed(Event("stuck", crew.clock(), place, detail=reason))
                    children.signal_group(crew.children[place], signal.SIGKILL)
