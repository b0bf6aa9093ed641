"""Which shard is next, where hosts are given one after another: those that were lost come first, none for ever."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable


class ShardQueue:
    """The shards that are not done; each is waiting, at work, done or failed."""

    def __init__(self, indices: Iterable[int], tries: int) -> None:
        """Let all wait.

        Args:
            indices: of the shards.
            tries: how often one is tried again.
        """
        self._waiting = deque(indices)
        self._all = len(self._waiting)
        self._again: Counter[int] = Counter()
        self._most = tries
        self._failed: set[int] = set()
        self.done = 0

    @property
    def is_over(self) -> bool:
        """Whether no shard waits or is at work."""
        return self.done + len(self._failed) == self._all

    @property
    def failed(self) -> list[int]:
        """Shards that are given up."""
        return sorted(self._failed)

    @property
    def count(self) -> str:
        """ "2 of 6" that are over."""
        return f"{self.done + len(self._failed)} of {self._all}"

    def take(self) -> int | None:
        """The next one, which is at work from now on; None where none waits."""
        return self._waiting.popleft() if self._waiting else None

    def finish(self, index: int, *, is_done: bool) -> None:
        """One is over.

        Args:
            index: of a shard at work.
            is_done: or failed.
        """
        if is_done:
            self.done += 1
        else:
            self._failed.add(index)

    def try_again(self, index: int) -> bool:
        """One waits again, before all others; False where it was tried too often, and has failed now.

        Args:
            index: of a shard at work.
        """
        self._again[index] += 1
        if self._again[index] > self._most:
            self._failed.add(index)
            return False
        self._waiting.appendleft(index)
        return True

    def give_up(self) -> None:
        """All that wait have failed: nobody is left to do them."""
        self._failed.update(self._waiting)
        self._waiting.clear()
