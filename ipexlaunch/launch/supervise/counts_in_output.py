"""What a worker has printed that counts (--throughput-regex), taken from its output as it comes in."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Protocol

from ipexlaunch.launch.run_record import Samples
from ipexlaunch.launch.throughput_regex import Doubt, LineRule, too_slow

LONGEST_PARTIAL_LINE_BYTES = 64 << 10
"""What is longer without an end is taken for a line."""

LONGEST_TAKE_S = 0.5
"""Of the processor, for the lines of one reading: many that take long hold the launcher up as one does."""


def uncountable_text(problem: str) -> str:
    """What is wrong with a worker's lines, as a reason why the run is INVALID.

    Args:
        problem: of the line.
    """
    return f"--throughput-regex found what it cannot count: {problem}"


class PrintedCounts:
    """One worker's counts, from both of its streams."""

    def __init__(
        self,
        rule: LineRule,
        clock: Callable[[], float],
        counted: Callable[[], None],
        complain: Callable[[str], None],
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Begin with nothing counted.

        Args:
            rule: what a line counts.
            clock: seconds, monotonic.
            counted: called when something was counted.
            complain: called once, with why a line that matches is no count.
            cpu_clock: seconds of the processor that this thread has used.
        """
        self.samples = Samples()
        self.claimed_rate: float | None = None
        """What the worker said last of its own rate; None where it said none."""
        self.matched = False
        """Whether any line did."""
        self.doubt = ""
        """Why what was counted must not be believed; "" where it may."""
        self._rule: LineRule | None = rule
        self._clock = clock
        self._counted = counted
        self._complain = complain
        self._cpu_clock = cpu_clock
        self._total = 0
        self._begun = False
        self._paused = False

    def begin(self) -> bool:
        """The worker is ready: what it has printed until now was the warm-up, unless it was measured before; whether
        it was.
        """
        is_first = not self._begun
        if is_first:
            self.samples = Samples()
            self.doubt = self.doubt if self._rule is None else ""
        self._begun, self._paused = True, False
        return is_first

    def begin_attempt(self) -> None:
        """The worker is started again: if it takes part in the common start, it warms up first."""
        self._paused = self._begun

    def take(self, text: str) -> None:
        """Count whole lines; those that were read together were done at the time of the reading.

        Args:
            text: lines, with line feeds between them.
        """
        items = tokens = 0
        until = self._cpu_clock() + LONGEST_TAKE_S
        for line in text.split("\n"):
            rule = self._rule
            if rule is None:
                break
            found = rule.read(line) if line else None
            if self._cpu_clock() > until:
                found = too_slow(line)
            if found is None:
                continue
            self.matched = True
            if isinstance(found, Doubt):
                self._doubt(found)
            elif rule.kind == "rate":
                self.claimed_rate = found.number
            else:
                items += self._rise(int(found.number)) if rule.kind == "total" else int(found.number)
                tokens += found.tokens
        if (items or tokens) and not self._paused:
            self.samples.add(self._clock(), items, tokens)
            self._counted()

    def _doubt(self, doubt: Doubt) -> None:
        if doubt.hopeless:
            self._rule = None
        if not self.doubt:
            self.doubt = doubt.reason
            self._complain(doubt.reason)

    def _rise(self, total: int) -> int:
        """What is new in a running total; one that has fallen started again at 0."""
        before, self._total = self._total, total
        return total - before if total >= before else total


class LineWatch:
    """Waits for a line in the output of a worker, from both of its streams."""

    def __init__(self, pattern: re.Pattern[str], found: Callable[[], None]) -> None:
        """Begin with nothing found.

        Args:
            pattern: is searched in each line.
            found: called once.
        """
        self._pattern: re.Pattern[str] | None = pattern
        self._found = found

    def take(self, text: str) -> None:
        """Look at whole lines.

        Args:
            text: lines, with line feeds between them.
        """
        if self._pattern is not None and any(map(self._pattern.search, text.split("\n"))):
            self._pattern = None
            self._found()


class TakesLines(Protocol):
    """What is given the lines of a worker."""

    def take(self, text: str, /) -> None:
        """Take whole lines, with line feeds between them."""


class PrintedLines:
    """Cuts one stream into lines; what overwrites a line (a carriage return, as progress bars do) is one too."""

    def __init__(self, counts: TakesLines) -> None:
        """Begin in the middle of nothing.

        Args:
            counts: takes the lines.
        """
        self._counts = counts
        self._partial = b""

    def add(self, data: bytes) -> None:
        """Take a chunk as it was read."""
        data = self._partial + data.replace(b"\r", b"\n")
        end = data.rfind(b"\n") + 1
        if len(data) - end > LONGEST_PARTIAL_LINE_BYTES:
            end = len(data)
        self._partial = data[end:]
        if end:
            self._counts.take(data[:end].decode(errors="replace"))

    def end(self) -> None:
        """Take the last line even if it has no end."""
        if self._partial:
            self._counts.take(self._partial.decode(errors="replace"))
            self._partial = b""
