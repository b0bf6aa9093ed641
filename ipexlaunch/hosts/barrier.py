"""What the first host knows of all hosts, and what follows: who is waited for, whether the start may be given."""

from __future__ import annotations

from ipexlaunch.hosts.member import Member
from ipexlaunch.hosts.messages import Message
from ipexlaunch.measure.across_hosts import label_of

REASONS_KEPT = 20
"""The first one leads; what many hosts say of one failure need not all be kept."""


class Barrier:
    """A group of hosts on its way to the common start and to its end; times are seconds of the first host's clock."""

    def __init__(self, first: Member) -> None:
        """Begin with the first host alone.

        Args:
            first: the first host.
        """
        self.size = first.size
        self.names = {first.rank: first.name}
        """Of those that have joined, by rank."""
        self.results: dict[int, Message] = {}
        """What they have said at their end."""
        self.broken: list[str] = []
        """Why the group is stopped; the first reason leads."""
        self.lost: set[int] = set()
        self.began: float | None = None
        """When the first host itself began."""
        self._ready: set[int] = set()
        self._sent: dict[int, float] = {}
        self._answered: dict[int, float] = {}

    def label(self, rank: int) -> str:
        """How a host is named in messages."""
        return label_of(self.names.get(rank, ""), rank)

    @property
    def absent(self) -> list[int]:
        """Ranks that have not joined."""
        return [rank for rank in range(self.size) if rank not in self.names]

    @property
    def waited_for(self) -> list[int]:
        """Ranks that are not ready while the first host is, or have not ended while it has."""
        if 0 in self.results:
            return [rank for rank in range(1, self.size) if rank not in self.results.keys() | self.lost]
        return [] if self.began is not None else [rank for rank in range(self.size) if rank not in self._ready]

    @property
    def may_start(self) -> bool:
        """Whether all are ready and have been given no start."""
        return len(self._ready) == self.size and not (self.broken or self.results or self._sent or self.began)

    @property
    def is_over(self) -> bool:
        """Whether nobody is waited for."""
        known = self.results.keys() | self.lost
        return 0 in self.results and (len(known) == self.size or bool(self.broken and self.names.keys() <= known))

    def ready(self, rank: int) -> None:
        """All workers of a host wait for the start."""
        self._ready.add(rank)

    def sent(self, rank: int, time: float) -> None:
        """A host is about to be sent the start."""
        self._sent[rank] = time

    def answered(self, rank: int, time: float) -> None:
        """A host has said that its workers have the start."""
        if rank in self._sent:
            self._answered.setdefault(rank, time)

    def ended(self, rank: int, result: Message) -> None:
        """A host has said what it did."""
        self.results[rank] = result

    @property
    def ended_early(self) -> int | None:
        """A host that has ended without a start while another one waits for it; None where none has."""
        if self.began is not None or self._sent or not self._ready - self.results.keys():
            return None
        return min(self.results, default=None)

    def breaks(self, reason: str) -> bool:
        """Something makes the group INVALID; whether it is the first thing that does."""
        is_first = not self.broken
        if reason not in self.broken and len(self.broken) < REASONS_KEPT:
            self.broken.append(reason)
        return is_first

    def bounds(self, rank: int) -> tuple[float, float] | None:
        """Between which seconds from the first host's start a host began; None where it did not say that it has."""
        if self.began is None:
            return None
        if rank == 0:
            return 0.0, 0.0
        if rank not in self._answered:
            return None
        return self._sent[rank] - self.began, self._answered[rank] - self.began
