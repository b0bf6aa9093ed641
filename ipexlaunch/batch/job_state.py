"""How far a job is: which items are accounted for, in a few bytes for a thousand of them, and what its files hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

CHUNK = 4096
"""Items that share one row of the ledger."""

CHUNK_BYTES = CHUNK // 8

ALL_DONE = b"\xff" * CHUNK_BYTES


class DoneItems:
    """A set of item numbers, dense from below: everything under a mark, and a bit for each of what is above it.

    An item that waits long (it kills its workers) holds the mark back while millions above it are done; whole chunks
    above the mark share one object, so that even then the set stays small.
    """

    def __init__(self, mark: int = 0, chunks: Mapping[int, bytes] | None = None) -> None:
        """Begin with what a ledger has kept.

        Args:
            mark: every item of the chunks below this one is done.
            chunks: number of a chunk from `mark` on to its bits, the lowest bit of the first byte for its first item.

        Raises:
            ValueError: the chunks are none.
        """
        if mark < 0 or any(number < mark or len(bits) != CHUNK_BYTES for number, bits in (chunks or {}).items()):
            raise ValueError("the done items do not fit together")
        self.mark = mark
        self._chunks: dict[int, bytes | bytearray] = {
            number: ALL_DONE if bits == ALL_DONE else bytearray(bits) for number, bits in (chunks or {}).items()
        }
        self._left = {number: CHUNK - _ones(bits) for number, bits in self._chunks.items()}
        self._changed: set[int] = set()
        self.count = mark * CHUNK + sum(CHUNK - left for left in self._left.values())
        """How many are done."""

    def __contains__(self, number: int) -> bool:
        chunk, place = divmod(number, CHUNK)
        if chunk < self.mark:
            return True
        bits = self._chunks.get(chunk)
        return bits is not None and bool(bits[place >> 3] & (1 << (place & 7)))

    def add(self, numbers: Iterable[int]) -> None:
        """Note that these are done.

        Raises:
            ValueError: one of them was already: its result would be there twice.
        """
        for number in numbers:
            if number in self:
                raise ValueError(f"item {number} is done twice")
            chunk, place = divmod(number, CHUNK)
            bits = self._chunks.get(chunk)
            if bits is None:
                bits = self._chunks[chunk] = bytearray(CHUNK_BYTES)
                self._left[chunk] = CHUNK
            # A chunk that is full is bytes, but then the number was in it.
            bits[place >> 3] |= 1 << (place & 7)  # type: ignore[index]
            self._left[chunk] -= 1
            self.count += 1
            self._changed.add(chunk)
            if not self._left[chunk]:
                self._chunks[chunk] = ALL_DONE
        while self._left.get(self.mark) == 0:
            del self._chunks[self.mark], self._left[self.mark]
            self.mark += 1

    def take_changes(self) -> dict[int, bytes]:
        """The chunks from the mark on that were added to since the last call, with their bits."""
        changed = {number: bytes(self._chunks[number]) for number in self._changed if number >= self.mark}
        self._changed.clear()
        return changed


def _ones(bits: bytes | bytearray) -> int:
    return int.from_bytes(bits, "little").bit_count()


class DeadLetterFileState(IntEnum):
    """How the file of dead letters stands."""

    WHOLE = 0
    """Each item that was given up has one letter."""
    OUTDATED = 1
    """Some are of items that were done since (`Ledger.recovered`), or failed again and have another one after it."""
    ASIDE = 2
    """What counts is the file beside it, which gets its name next, or has got it just now."""


@dataclass(slots=True, kw_only=True)
class JobState:
    """What a ledger says of its job."""

    done: DoneItems
    """Items that are in the output or among the dead letters."""
    output_bytes: int = 0
    """How much of the output counts."""
    dead_bytes: int = 0
    """How much of the file of dead letters counts."""
    dead: int = 0
    """Items that were given up."""
    complete: bool = False
    """Whether the job has finished."""
    letters: DeadLetterFileState = DeadLetterFileState.WHOLE
    """How the file of dead letters stands."""
    recovered: list[int] = field(default_factory=list)
    """Items that were given up and are done since, that are not committed yet."""

    def standing(self) -> CommittedCounts:
        """The same in figures that do not change any more."""
        return CommittedCounts(done=self.done.count, dead=self.dead, complete=self.complete)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedCounts:
    """How a job stood when something was last made durable; `JobState` may be ahead of it, in another thread."""

    done: int
    """Items that are in the output or among the dead letters."""
    dead: int
    """Items that were given up."""
    complete: bool
    """Whether the job has finished."""


class WithoutLedger:
    """Keeps the progress in memory: results go where they cannot be taken back."""

    def __init__(self, progress: JobState | None = None) -> None:
        """Begin.

        Args:
            progress: what is done already; None for nothing.
        """
        self.progress = JobState(done=DoneItems()) if progress is None else progress

    def commit(self) -> None:
        """Forget what changed; nobody will read it."""
        self.progress.done.take_changes()

    def close(self) -> None:
        """Nothing to let go of."""
