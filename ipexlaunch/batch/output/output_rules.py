"""Where results go, and in which form."""

from __future__ import annotations

from dataclasses import dataclass

STDOUT = "-"

PARQUET_SUFFIXES = (".parquet", ".pq")

UNWRITTEN_SUFFIXES = (".csv", ".tsv", ".xlsx", ".arrow", ".feather", ".gz", ".zst")
"""Of formats that readers would take the results for, and that are not written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRules:
    """What the options say of the output."""

    path: str
    """What the user asked for; "-" for standard output."""
    keep_order: bool = False
    """Whether results stand in the order of the input; else as they finish."""
    parquet: bool = False
    openai: bool = False
    """Whether results are rows of OpenAI's batch API, in the form of its output file."""
    errors: str | None = None
    """Where error rows of such a job go; None: among the others."""

    @property
    def gathered(self) -> str:
        """The file that results are appended to as they finish; the output itself where it needs nothing more."""
        return f"{self.path}.part" if self.keep_order or self.parquet or self.openai else self.path

    @property
    def unfinished(self) -> str:
        """The file that becomes the output, where results are gathered in another."""
        return f"{self.path}.unfinished"
