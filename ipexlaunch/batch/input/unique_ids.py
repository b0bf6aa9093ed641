"""The ids that an input has given so far, in eight bytes each, to find one that is given twice."""

from __future__ import annotations

from array import array

MOST_IDS = (1 << 22) * 2 // 3
"""So many are remembered (32 MB); after that, new ones are no longer compared with each other."""

FEWEST_SLOTS = 1 << 12


class GivenIds:
    """A set of ids by 64 bits of their hash: two different ones are taken for the same once in four million inputs."""

    def __init__(self, most: int = MOST_IDS) -> None:
        """Begin with none.

        Args:
            most: how many to remember.
        """
        self._most = most
        self._count = 0
        self._slots = array("Q", bytes(8 * FEWEST_SLOTS))
        self._mask = FEWEST_SLOTS - 1

    @property
    def full(self) -> bool:
        """Whether no more ids are remembered."""
        return self._count >= self._most

    def add(self, given: str | int) -> bool:
        """Whether this id was not given before; remembered from now on, where there is room.

        Args:
            given: the id; 1 and "1" are two.
        """
        # Of the text: -1 and -2 have one hash, and so have 0 and an empty text.
        mark = hash(repr(given)) & 0xFFFF_FFFF_FFFF_FFFF or 1
        slots, place = self._slots, mark & self._mask
        while found := slots[place]:
            if found == mark:
                return False
            place = (place + 1) & self._mask
        if self._count < self._most:
            slots[place] = mark
            self._count += 1
            if 3 * self._count > 2 * len(slots):
                self._grow()
        return True

    def _grow(self) -> None:
        old, size = self._slots, 2 * len(self._slots)
        slots, mask = array("Q", bytes(8 * size)), size - 1
        for mark in old:
            if mark:
                place = mark & mask
                while slots[place]:
                    place = (place + 1) & mask
                slots[place] = mark
        self._slots, self._mask = slots, mask
