"""What stands around the supervisor of servers: who decides about them, and the program that runs beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ipexlaunch.launch.supervise.interfaces import Count, Kill, Notice
from ipexlaunch.plan.plan import Instance


class Ready(NamedTuple):
    """A server answers, as far as somebody outside of it can see."""

    worker: int


class Recycle(NamedTuple):
    """A server is to end and to be started again at once."""

    worker: int


class Retire(NamedTuple):
    """A server is to end, and to stay away until it is recycled."""

    worker: int


class InFlight(NamedTuple):
    """So many requests are with a server now."""

    worker: int
    requests: int


class Say(NamedTuple):
    """The user is told something that the report need not have."""

    text: str


class StartSide(NamedTuple):
    """The program beside the servers is to be started."""


class SignalSide(NamedTuple):
    """It is to get this signal."""

    number: int


class Drain(NamedTuple):
    """The servers finish what they have; one that ends is not started again, and one that still loads is not needed."""


class Finish(NamedTuple):
    """The servers are not needed any more."""


ServerCommand = (
    Count | Kill | Notice | Say | Ready | Recycle | Retire | InFlight | StartSide | SignalSide | Drain | Finish
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SideProgram:
    """A program that runs beside the workers and is none of them: a proxy."""

    name: str
    """Stands before what it prints."""
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    instance: Instance
    """Where it runs; its index means nothing."""


class ServerKeeper(Protocol):
    """Something that knows whether servers answer, and decides when they are restarted."""

    @property
    def side(self) -> SideProgram | None:
        """What runs beside them."""

    @property
    def leftovers(self) -> Sequence[str]:
        """Paths that are removed where the launcher is killed."""

    @property
    def descriptor(self) -> int:
        """Readable when `take` has something to give."""

    def due(self) -> float | None:
        """When `take` is wanted at the latest; None for not before something happens."""

    def take(self, now: float) -> Sequence[ServerCommand]:
        """What is to be done."""

    def signalled(self, number: int) -> bool:
        """Whether it deals with a request to end, or with another signal that ends runs, by itself."""

    def side_ended(self, text: str, now: float) -> None:
        """The program beside the servers has ended, and how; or could not be started, and why."""
