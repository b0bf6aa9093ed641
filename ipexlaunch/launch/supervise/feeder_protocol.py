"""The seam for what gives workers their items while they run: the queue of a batch job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from ipexlaunch.launch.supervise.message_protocol import Said
from ipexlaunch.launch.wait_for_disk import DiskThread


class Count(NamedTuple):
    """Items of one worker that are durable and count from now on."""

    worker: int
    time: float
    """When the worker had done them, seconds of the supervisor's clock."""
    items: int
    latency_s: float


class Send(NamedTuple):
    """A line is to be sent to a worker."""

    worker: int
    line: bytes


class Kill(NamedTuple):
    """A worker is to be killed."""

    worker: int
    reason: str


class Notice(NamedTuple):
    """Something that the user should know."""

    text: str


FeederCommand = Count | Send | Kill | Notice


class Feeder(Protocol):
    """Something that is told what workers say of their batches and how they end, and answers with what is to be done;
    it must not fail the loop.
    """

    longest_message_bytes: int
    """A line of a worker may be so long: results travel in it."""

    @property
    def disk(self) -> DiskThread | None:
        """Readable when `tick` is wanted; None where nothing is kept on a disk."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to do, and everything that was done is durable."""

    @property
    def problem(self) -> str:
        """Why the run must stop though items are left; "" where it need not."""

    def said(self, index: int, said: Said, now: float) -> Sequence[FeederCommand]:
        """A worker wants batches, or has begun one, or done one, or failed on one."""

    def lost(self, index: int, reason: str, now: float, *, is_blamed: bool = True) -> Sequence[FeederCommand]:
        """A worker has ended, after its last words were heard; `is_blamed` unless it was asked to."""

    def due(self) -> float | None:
        """When `tick` is wanted next; None for not before something else happens."""

    def rest_s(self) -> float:
        """How long every worker can do without the feeder, in seconds: it has enough to do until then."""

    def tick(self, now: float) -> Sequence[FeederCommand]:
        """The time that `due` named has come."""

    def close(self, now: float, wait: Callable[[DiskThread], None]) -> Sequence[FeederCommand]:
        """Every worker has ended: make durable what is not yet; `wait` raises where a disk hangs for too long."""
