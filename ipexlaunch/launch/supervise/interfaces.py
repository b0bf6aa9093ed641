"""What the supervisor needs from elsewhere, and what it does with output: values that a test can fill with its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from ipexlaunch.launch.placement.binding import Binding
from ipexlaunch.launch.placement.placement import Placement
from ipexlaunch.launch.throughput_regex import LineRule

BindThread = Callable[[frozenset[int], str, frozenset[int]], AbstractContextManager[Binding]]

LONG_PHASE_S = 5.0
"""What is over sooner is not worth a line."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """The acts that the supervisor needs from elsewhere, each a function, so that a test can give its own."""

    bind_thread: BindThread
    """Binds the calling thread to (cpus, memory policy, nodes) within a context."""
    read_placement: Callable[[int], Placement | None]
    """Reads back where a process is, whatever it costs; None where it is gone."""
    read_placement_if_cheap: Callable[[int], Placement | None]
    """The same within a fixed share of a core; None where it is gone or not due."""
    descendants: Callable[[int], list[int]]
    """The processes below a process."""
    oom_kills: Callable[[], int | None]
    """How many processes the kernel has killed for want of memory since it started; None where it does not tell."""
    tell: Callable[[str], None]
    """Says a line to the user."""
    clock: Callable[[], float] = time.monotonic
    """Seconds, the same clock as the workers'."""


@dataclass(frozen=True, kw_only=True)
class Showing:
    """What becomes of the workers' output."""

    outputs: tuple[int, int] = (1, 2)
    """Descriptors that stdout and stderr are shown on."""
    logs: Mapping[int, str] = field(default_factory=dict)
    """Instance index to the path of its log file."""
    largest_log_bytes: int | None = None
    stamp: Callable[[], bytes] | None = None
    """Makes the time that stands before each line."""
    long_phase_s: float | None = LONG_PHASE_S
    """What a worker is busy with for so long is told; None where a live view shows it in its own way."""
    line_rule: LineRule | None = None
    """Counts work in the lines of workers that do not count themselves."""
