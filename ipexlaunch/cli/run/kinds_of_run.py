"""What makes a run a batch job, or a service."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipexlaunch.batch.items import BatchProgress, BatchSummary
from ipexlaunch.launch.supervise.interfaces import Feeder, Observer
from ipexlaunch.launch.wait_for_disk import DiskPatience
from ipexlaunch.measure.service import ServiceSummary

if TYPE_CHECKING:  # servers: a run of another kind needs nothing of them
    from ipexlaunch.serve.keep_servers import ServiceKeeper


@dataclass(frozen=True, slots=True)
class BatchRun:
    """What makes a run a batch job."""

    feeder: Feeder
    batches_held: int
    """Batches that a worker may hold."""
    stall_timeout_s: float
    conclude: Callable[[DiskPatience], tuple[Sequence[str], BatchSummary]]
    """Called at the end: says how it went, and gives the reasons why the run is INVALID, and its figures; its disk is
    waited for with that patience."""
    progress: Callable[[], BatchProgress]
    """How far the job is."""
    watchers: Sequence[Observer] = ()
    """Further ones that the loop waits for."""
    together: bool = False
    """Whether no worker begins before all have loaded."""
    takes_stdout: bool = False
    """Whether results go to standard output, so that the workers' output must not."""
    draining: frozenset[int] = frozenset()
    """Signals of which the first ends the giving of items, not the run."""


@dataclass(frozen=True, slots=True)
class ServiceRun:
    """What makes a run a service."""

    keeper: ServiceKeeper
    ready_line: re.Pattern[str] | None
    """A line of a server's output that says that it is ready; None where it is probed."""
    environment: Mapping[str, str]
    """What servers inherit of the launcher's."""
    watchers: Callable[[str], Sequence[Observer]]
    """Further ones that the loop waits for; of the path of the run's status socket, "" where it has none."""
    conclude: Callable[[], tuple[Sequence[str], ServiceSummary]]
    """Called at the end: the reasons why the run is INVALID, and its figures."""
