"""What stands for the ledger of a job that cannot be gone on with: its results go to standard output."""

from __future__ import annotations

from ipexlaunch.batch.done_items import DoneItems
from ipexlaunch.batch.ledger.ledger import Progress


class WithoutLedger:
    """Keeps the progress in memory."""

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.progress = Progress(done=DoneItems())

    def commit(self) -> None:
        """Forget what changed; nobody will read it."""
        self.progress.done.take_changes()

    def close(self) -> None:
        """Nothing to let go of."""
