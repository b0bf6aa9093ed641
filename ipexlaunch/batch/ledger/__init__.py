"""Keep on disk what a batch job has done, so that it can go on after any end: the only package that opens SQLite."""

from ipexlaunch.batch.ledger.ledger import DamagedLedgerError, Ledger, LedgerError
from ipexlaunch.batch.ledger.progress import Letters, Progress, Standing, WithoutLedger

__all__ = ["DamagedLedgerError", "Ledger", "LedgerError", "Letters", "Progress", "Standing", "WithoutLedger"]
