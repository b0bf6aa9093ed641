"""A worker of `ipexlaunch run` that maps shared weights, reads every page, and tells where they lie.

ipexlaunch run shared_weights_worker.py DIRECTORY
"""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

from ipexlaunch import worker


def main() -> None:
    """Map, read, tell."""
    path = worker.shared_weights_file(sys.argv[1])
    with open(path, "rb") as file:
        memory = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    read = sum(memory[:: mmap.PAGESIZE])
    lines = Path("/proc/self/numa_maps").read_text().splitlines()
    (words,) = [line.split() for line in lines if "file=/memfd:" in line]
    nodes = {word[1:].partition("=")[0]: int(word.partition("=")[2]) for word in words if word[:1] == "N"}
    worker.tell(path=path, pages=nodes, mapped_bytes=len(memory), read=read)
    worker.ready()
    worker.count()
    worker.finish()


main()
