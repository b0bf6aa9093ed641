"""What the parts of the loop share: the workers of a run, how it stands, and how the user is told."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence

from ipexlaunch.doctor.preloads import preloaded_in
from ipexlaunch.documents.secret_values import mask_text
from ipexlaunch.launch import lifecycle
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.launch.snapshot import Snapshot
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.interfaces import Means
from ipexlaunch.launch.supervise.worker_process import Child


class Crew:
    """The workers of one run; a worker's place is its number among them, which need not be its instance's index."""

    def __init__(self, launch: Launch, means: Means, limits: Limits, inherited: Mapping[str, str]) -> None:
        """Begin with all of them waiting to be started.

        Args:
            launch: what is to be started.
            means: acts that are needed from elsewhere.
            limits: time limits and what a failure does.
            inherited: the environment that the workers get beside their own.
        """
        self.means = means
        self.clock = means.clock
        self.limits = limits
        self.children = [Child(worker=worker) for worker in launch.workers]
        self.notes: list[str] = [mask_text(note) for note in launch.notes]
        """What the report says beside its figures."""
        self.preloads_by_request = tuple(launch.job.libraries.values())
        self._inherited = inherited
        self.by_pid: dict[int, int] = {}
        """Of the workers that run, to their places."""
        self.state = lifecycle.begin(len(self.children), limits, self.clock())

    def index(self, place: int) -> int:
        """The index of a worker's instance, as people read it."""
        return self.children[place].worker.instance.index

    def preloads_of(self, place: int) -> list[str]:
        """The libraries that were preloaded into a worker, by us or by the user."""
        return preloaded_in({**self._inherited, **self.children[place].worker.environment})

    def note(self, text: str) -> None:
        """Say it now and keep it for the report, without secrets."""
        text = mask_text(text)
        self.notes.append(text)
        self.means.tell(text)

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
        from ipexlaunch.launch.supervise.run_record_so_far import snapshot  # not before the workers are started

        return snapshot(self.children, self.state, self.clock())

    def look_at(self, child: Child) -> None:
        """Read back where a worker is that waits for our answer meanwhile, so that nothing moves."""
        if child.process is not None:
            children.keep(child, self.means.inspect(child.process.pid))

    def look_at_all(self, _: float) -> None:
        """Read back where every worker is that runs or never says a word, as far as that may cost."""
        for child, worker in zip(self.children, self.state.workers, strict=True):
            if worker.phase in ("starting", "running") and child.process is not None:
                children.keep(child, self.means.glance(child.process.pid))

    def look_before_end(self, places: Sequence[int]) -> None:
        """Look at those that are to be ended: what memory they had at most is not told afterwards."""
        for place in places:
            child = self.children[place]
            if child.process is not None:
                children.keep(child, self.means.glance(child.process.pid))

    def signal_all(self, places: Sequence[int], number: signal.Signals) -> None:
        """Signal the process groups of these workers; a stopped one must run to be able to end."""
        for place in places:
            children.signal_group(self.children[place], number)
            children.signal_group(self.children[place], signal.SIGCONT)
