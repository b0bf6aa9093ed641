"""Find ids that are given twice among any number of them, in memory that does not grow: by their hashes, on a disk.

Hashes of 64 bits fall into parts by their lowest bits; each part is small enough to be looked at in memory. Two ids may
have one hash, so what is found is only suspected: the ids themselves are then compared, in a second pass.
"""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Set
from types import TracebackType

from ipexlaunch.batch.input.input_rules import shown
from ipexlaunch.errors import DocumentError

PARTS = 256

HELD = 1 << 12
"""Hashes of a part that are gathered before they are written, all parts together 8 MiB."""


class IdsOnDisk:
    """Takes ids one by one; says at the end which may have come twice."""

    def __init__(self, folder: str) -> None:
        """Begin with none, in a file without a name.

        Args:
            folder: where there is room for it, eight bytes an id.

        Raises:
            OSError: it cannot be made there.
        """
        self._file = tempfile.TemporaryFile(dir=folder, prefix=".ipexlaunch-")  # noqa: SIM115 (closed by __exit__)
        self._held = [array("Q") for _ in range(PARTS)]
        self._written: list[list[tuple[int, int]]] = [[] for _ in range(PARTS)]

    def __enter__(self) -> IdsOnDisk:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, given: str | int) -> bool:
        """Remember an id; True, because whether it was there before is not known yet.

        Args:
            given: 1 and "1" are two.

        Raises:
            OSError: there is no room.
        """
        mark = mark_of(given)
        held = self._held[mark % PARTS]
        held.append(mark)
        if len(held) == HELD:
            self._write(mark % PARTS)
        return True

    def doubles(self) -> Set[int]:
        """Hashes that came more than once.

        Raises:
            OSError: what was written cannot be read.
        """
        found: set[int] = set()
        for part in range(PARTS):
            marks = array("Q")
            for begin, count in self._written[part]:
                self._file.seek(begin)
                marks.fromfile(self._file, count)
            marks.extend(self._held[part])
            if len(set(marks)) < len(marks):
                found.update(mark for mark, count in Counter(marks).items() if count > 1)
        return found

    def _write(self, part: int) -> None:
        held = self._held[part]
        self._written[part].append((self._file.seek(0, 2), len(held)))
        held.tofile(self._file)
        self._held[part] = array("Q")


def mark_of(given: str | int) -> int:
    """64 bits that stand for an id in this process; 1 and "1" have different ones.

    Args:
        given: the id.
    """
    return hash(repr(given)) & 0xFFFF_FFFF_FFFF_FFFF


class AnyId:
    """Takes every id as one that was not given before."""

    def add(self, given: str | int) -> bool:
        """True."""
        return True


def refuse_doubles(ids: Iterable[tuple[str | int, str]], doubles: Set[int], source: str, hint: str) -> None:
    """Compare the ids themselves of which two may be the same.

    Args:
        ids: every id with its place, once more.
        doubles: hashes that came more than once.
        source: where they come from, for the message.
        hint: what would work.

    Raises:
        DocumentError: an id is there twice.
    """
    places: dict[str, str] = {}
    for given, place in ids:
        if mark_of(given) not in doubles:
            continue
        name = repr(given)
        if name in places:
            raise DocumentError(source, place, f"its id {shown(given)} was given before, in {places[name]}", hint)
        places[name] = place
