"""What jobs under fire have suffered, added up: a line for each job, and a table of them all."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol


class SufferedJob(Protocol):
    """A job that was under fire."""

    suffered: Counter[str]
    """Faults that struck."""
    codes: Counter[int]
    """Exit codes of what was run."""
    problems: list[str]
    """What was wrong with how it took that."""


@dataclass
class FaultTally:
    """The jobs of a campaign together."""

    runs: str
    """What each exit code is of: "launches"."""
    kinds: str
    """Of problems that are looked for."""
    jobs: int = 0
    suffered: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def add(self, job: SufferedJob, how: str = "") -> None:
        """Take a job that has ended, and say what became of it."""
        self.jobs += 1
        self.suffered += job.suffered
        self.codes += job.codes
        self.problems += [f"job {self.jobs}: {problem}" for problem in job.problems]
        print(
            f"job {self.jobs}{how}: {job.suffered.total()} faults, {job.codes.total()} {self.runs}, "
            f"{len(job.problems)} problems, {time.monotonic() - self.began:.0f} s",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        for problem in job.problems[:5]:
            print(problem, file=sys.stderr, flush=True)

    def show(self) -> int:
        """Print the table; the exit code of the campaign."""
        print("| fault | times |")
        print("|---|---|")
        for fault, times in self.suffered.most_common():
            print(f"| {fault} | {times} |")
        counts = f"{self.suffered.total()} faults in {self.jobs} jobs and {self.codes.total()} {self.runs}"
        print(f"\n{counts}, {time.monotonic() - self.began:.0f} s;")
        print(f"exit codes {dict(sorted(self.codes.items()))}; {len(self.problems)} problems ({self.kinds})")
        return 1 if self.problems else 0
