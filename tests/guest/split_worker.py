"""A worker that is forked from one that has touched memory, touches some of its own, and tells where its threads are.

ipexlaunch run --share-start model split_worker.py SHARED_MIB OWN_MIB
"""

from __future__ import annotations

import mmap
import sys

from ipexlaunch import worker
from tests.guest.touch_memory import touched


def main() -> None:
    """Touch, be forked, touch, be measured."""
    shared_mib, own_mib = map(int, sys.argv[1:])
    shared = mmap.mmap(-1, shared_mib << 20, flags=mmap.MAP_PRIVATE)
    shared[:: mmap.PAGESIZE] = b"\1" * (len(shared) // mmap.PAGESIZE)
    worker.split()
    with touched(own_mib) as found:
        worker.tell(**found)
        worker.ready()
        worker.count(items=1)
        worker.finish()


main()
