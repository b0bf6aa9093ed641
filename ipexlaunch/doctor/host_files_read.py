"""What the kernel's files said: one reading per path, missing and malformed ones included: nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ipexlaunch.doctor.finding import Evidence
from ipexlaunch.errors import RequestError
from ipexlaunch.machine.cpulist import parse_list

MISSING = "it is missing"
OF_CONTAINER = "(the container's own)"
LONGEST_VALUE = 120
"""Characters of a file's text that are shown as evidence."""


class Undecidable(Exception):
    """What decides a check could not be read; it becomes a finding of severity "unknown", never an ok."""

    def __init__(self, problem: str, *evidence: Evidence) -> None:
        """Keep what was tried.

        Args:
            problem: what is wrong with the first piece of evidence.
            evidence: the files, variables or calls that should have told.
        """
        super().__init__(problem)
        self.problem = problem
        self.evidence = evidence


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Stands where a fact could not be had: what was asked, and why it did not answer."""

    where: str
    problem: str


@dataclass(frozen=True, slots=True)
class FileText:
    """One file: its text, or why there is none."""

    path: str
    """As on the host, e.g. "/proc/swaps", whatever the root was."""
    text: str | None = None
    problem: str = MISSING
    """Meant only where there is no text."""
    overmounted: bool = False
    """Mounted in the place of the host's file, as lxcfs does: it tells of the container."""

    @property
    def is_missing(self) -> bool:
        """There is no such file (an unreadable one is not missing)."""
        return self.text is None and self.problem == MISSING

    @property
    def evidence(self) -> Evidence:
        """The path with what stands there, shortened."""
        if self.text is None:
            return Evidence(self.path, self.problem)
        value = " ".join(self.text.split())
        if self.overmounted:
            value = f"{OF_CONTAINER} {value}"
        return Evidence(self.path, value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 3] + "...")

    def require_text(self) -> str:
        """The text without surrounding white space.

        Raises:
            CannotTell: there is none.
        """
        if self.text is None:
            raise Undecidable(self.problem, self.evidence)
        return self.text.strip()

    def require_number(self) -> int:
        """The whole number that is the file's only word.

        Raises:
            CannotTell: there is no text, or it is something else.
        """
        text = self.require_text()
        if not re.fullmatch(r"-?[0-9]{1,25}", text):
            raise Undecidable("it holds no number", self.evidence)
        return int(text)

    def require_switch(self) -> bool:
        """Whether the file holds 1 and not 0.

        Raises:
            CannotTell: there is no text, or it is something else.
        """
        number = self.require_number()
        if number not in (0, 1):
            raise Undecidable("it holds neither 0 nor 1", self.evidence)
        return number == 1

    def require_choice(self) -> str:
        """The word in brackets of a text such as "always [madvise] never".

        Raises:
            CannotTell: there is no text, or not exactly one word in brackets.
        """
        chosen = re.findall(r"\[([a-z+_-]+)\]", self.require_text())
        if len(chosen) != 1:
            raise Undecidable("no word stands in brackets", self.evidence)
        return str(chosen[0])

    def require_ids(self, name: str = "") -> frozenset[int]:
        """The ids of a text such as "0-3,8", or of the line "NAME: 0-3,8".

        Raises:
            CannotTell: there is no such text or line, or it holds no such list.
        """
        text = self.require_field(name) if name else self.require_text().rstrip("\0")
        try:
            return parse_list(text, self.path)
        except RequestError as error:
            seen = Evidence(self.path, f"{name}: {text}") if name else self.evidence
            raise Undecidable(error.available, seen) from None

    def require_count_of(self, name: str, unit: str = "", before: str = "") -> int:
        """The number on the line "NAME: 1024 kB".

        Args:
            name: as messages call it.
            unit: what stands behind the number, e.g. " kB".
            before: what stands before the name on the line.

        Raises:
            CannotTell: there is no such line, or no number on it.
        """
        text = self.require_field(before + name)
        number = text.removesuffix(unit)
        if not number.isdecimal():
            raise Undecidable(f"{name} is no number", Evidence(self.path, f"{name}: {text}"))
        return int(number)

    def require_field(self, name: str, separator: str = ":") -> str:
        """What stands after NAME and the separator on the line that begins with NAME, as in /proc/self/status.

        Raises:
            CannotTell: there is no text, or no such line.
        """
        for line in self.require_text().splitlines():
            key, found, value = line.partition(separator)
            if found and key.strip() == name:
                return value.strip()
        raise Undecidable(f"it has no line {name!r}", Evidence(self.path, f"no line {name!r}"))


class HostFiles:
    """The readings of one host. A path outside the patterns that were read is a bug, not a missing file."""

    def __init__(self, readings: Mapping[str, FileText], patterns: Sequence[str], *, live: bool) -> None:
        """Keep the readings.

        Args:
            readings: path as on the host to its reading.
            patterns: the paths, with `*` for one part of a name, that were looked for.
            live: they are this host's, so that what is missing is missing there; a saved tree may merely lack it.
        """
        self.readings = readings
        self.patterns = patterns
        self.live = live

    def read(self, path: str) -> FileText:
        """The reading of one path; one with the problem "it is missing" where there is no such file."""
        found = self.readings.get(path)
        if found is not None:
            return found
        if not any(fnmatchcase(path, pattern) for pattern in self.patterns):
            raise LookupError(f"{path} is in none of the patterns that the doctor reads")
        return FileText(path)

    def require_live(self, *paths: str) -> None:
        """Take the absence of these files for a statement of the kernel.

        Raises:
            CannotTell: this is a saved tree, which may merely lack them.
        """
        if not self.live:
            raise Undecidable("the saved tree has no such file", *(Evidence(path, "no such file") for path in paths))

    def matching(self, pattern: str) -> tuple[FileText, ...]:
        """The readings of one pattern, in the order of the numbers in their paths."""
        if pattern not in self.patterns:
            raise LookupError(f"{pattern} is not among the patterns that the doctor reads")
        paths = [path for path in self.readings if fnmatchcase(path, pattern)]
        return tuple(self.readings[path] for path in sorted(paths, key=_by_number))


def _by_number(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]
