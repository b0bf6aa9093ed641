"""A process that fills memory on its node, and forks a child that stays there and one that is bound to another node.

    python -m tests.guest.forking_template MIB CPUS NODE

Prints the children's process ids, its own node's first, when they are where they are bound; ends, with them, when its
standard input does.
"""

from __future__ import annotations

import mmap
import os
import sys

from ipexlaunch.launch.bind import set_memory_policy
from ipexlaunch.machine.cpulist import parse_list


def main() -> None:
    """Fill, fork, wait."""
    memory = mmap.mmap(-1, int(sys.argv[1]) << 20, flags=mmap.MAP_PRIVATE)
    memory[:: mmap.PAGESIZE] = b"\1" * (len(memory) // mmap.PAGESIZE)
    for stays in (True, False):
        bound, told = os.pipe()
        child = os.fork()
        if child == 0:
            if not stays:
                os.sched_setaffinity(0, parse_list(sys.argv[2]))
                set_memory_policy("bind", frozenset({int(sys.argv[3])}))
            os.write(told, b".")
            sys.stdin.buffer.read()
            os._exit(0)
        os.read(bound, 1)
        print(child, flush=True)
    sys.stdin.buffer.read()


main()
