"""How far a job is, as its ledger says it; and what stands for the ledger of one that cannot be gone on with."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from ipexlaunch.batch.done_items import DoneItems


class Letters(IntEnum):
    """How the file of dead letters stands."""

    WHOLE = 0
    """Each item that was given up has one letter."""
    OUTDATED = 1
    """Some are of items that were done since (`Ledger.recovered`), or failed again and have another one after it."""
    ASIDE = 2
    """What counts is the file beside it, which gets its name next, or has got it just now."""


@dataclass(slots=True, kw_only=True)
class Progress:
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
    """Whether the job has come to its end."""
    letters: Letters = Letters.WHOLE
    """How the file of dead letters stands."""
    recovered: list[int] = field(default_factory=list)
    """Items that were given up and are done since, that are not committed yet."""

    def standing(self) -> Standing:
        """The same in figures that do not change any more."""
        return Standing(done=self.done.count, dead=self.dead, complete=self.complete)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a job stood when something was last made durable; `Progress` may be ahead of it, in another thread."""

    done: int
    """Items that are in the output or among the dead letters."""
    dead: int
    """Items that were given up."""
    complete: bool
    """Whether the job has come to its end."""


class WithoutLedger:
    """Keeps the progress in memory: results go where they cannot be taken back."""

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.progress = Progress(done=DoneItems())

    def commit(self) -> None:
        """Forget what changed; nobody will read it."""
        self.progress.done.take_changes()

    def close(self) -> None:
        """Nothing to let go of."""
