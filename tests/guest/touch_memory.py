"""A worker that touches memory from two threads, then tells where its threads may run and where its pages lie.

    python touch_memory.py MIB

Prints one JSON object: for each thread the cpus that it may run on and the cpu that it ran on last, the number of
anonymous pages on each node, and MIB. Source: proc(5), /proc/PID/task/TID/stat and /proc/PID/numa_maps.
Only the standard library: this runs with `python -I -S`, whose start is the cheapest that there is.
"""

import json
import mmap
import os
import sys
import threading
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

THREADS = 2
LAST_CPU_FIELD = 39


@contextmanager
def touched(mib: int) -> "Iterator[dict[str, Any]]":
    """Hold this much memory, touched by two threads that stay, and tell what `main` prints.

    "new_pages" are those since the call: for a process that was forked and has its parent's pages as well.
    """
    before = anonymous_pages()
    memory = [mmap.mmap(-1, (mib << 20) // THREADS, flags=mmap.MAP_PRIVATE) for _ in range(THREADS)]
    release = threading.Event()
    ready = threading.Barrier(THREADS + 1)
    threads = [threading.Thread(target=_touch_and_stay, args=(part, ready, release)) for part in memory]
    for thread in threads:
        thread.start()
    ready.wait()
    try:
        pages = anonymous_pages()
        new = {node: count - before.get(node, 0) for node, count in pages.items() if count > before.get(node, 0)}
        yield {"threads": threads_of(), "anonymous_pages": pages, "new_pages": new, "mib": mib}
    finally:
        release.set()
        for thread in threads:
            thread.join()


def main() -> None:
    """Touch, look, print."""
    with touched(int(sys.argv[1])) as found:
        print(json.dumps(found), flush=True)


def _touch_and_stay(memory: mmap.mmap, ready: threading.Barrier, release: threading.Event) -> None:
    memory[:: mmap.PAGESIZE] = b"\1" * (len(memory) // mmap.PAGESIZE)
    ready.wait()
    release.wait()


def threads_of(process: "int | str" = "self") -> "list[dict[str, Any]]":
    """The cpus of every thread of a process, and the last one of each."""
    found: list[dict[str, Any]] = []
    for task in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{task}/stat") as file:
            # The name, field 2, is in brackets and may hold blanks.
            fields = file.read().rpartition(")")[2].split()
        found.append({"cpus": sorted(os.sched_getaffinity(int(task))), "last_cpu": int(fields[LAST_CPU_FIELD - 3])})
    return found


def anonymous_pages(process: "int | str" = "self") -> dict[str, int]:
    """Pages by node of the anonymous mappings, heap and stack among them.

    A private mapping of a file may hold anonymous pages as well (written copies), but its line counts them by node
    together with the file's own, which lie wherever the page cache has them.
    """
    pages: dict[str, int] = {}
    with open(f"/proc/{process}/numa_maps") as file:
        for line in file:
            words = dict(word.partition("=")[::2] for word in line.split()[2:])
            if "anon" not in words or "file" in words:
                continue
            for key, count in words.items():
                if key[0] == "N" and key[1:].isdigit():
                    pages[key[1:]] = pages.get(key[1:], 0) + int(count)
    return pages


if __name__ == "__main__":
    main()
