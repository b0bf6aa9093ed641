"""A worker that leaves its slice in the way that its argument names, after it has said that it is ready.

    ipexlaunch run tests/launch/placement/misbehave.py thread,been,child-cpus,daemon,policy,mbind,child-policy,nothing

Names are MISDEEDS below; of several, each worker does the one that stands at its index. Memory goes to the highest node
and threads to the highest cpu, so bind it elsewhere. It needs nothing but the standard library and this package, so it
runs in a guest.
"""

import ctypes
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from ipexlaunch import worker
from ipexlaunch.launch.bind import set_memory_policy

MIB = 1 << 20
CHILD = "import os, sys; exec(sys.argv[1]); print(flush=True); sys.stdin.read()"
kept: list[object] = []


def touch(megabytes: int) -> mmap.mmap:
    memory = mmap.mmap(-1, megabytes * MIB, flags=mmap.MAP_PRIVATE)
    memory[:: mmap.PAGESIZE] = b"\1" * (megabytes * MIB // mmap.PAGESIZE)
    kept.append(memory)
    return memory


def last_node() -> int:
    with open("/sys/devices/system/node/has_memory") as file:
        return int(file.read().replace("-", ",").split(",")[-1])


def last_cpu() -> int:
    with open("/sys/devices/system/cpu/online") as file:
        return int(file.read().replace("-", ",").split(",")[-1])


CHILD_CPUS = "os.sched_setaffinity(0, [{last_cpu}])"
CHILD_POLICY = """
import mmap
from ipexlaunch.launch.bind import set_memory_policy
set_memory_policy("bind", frozenset([{last_node}]))
memory = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE)
memory[::mmap.PAGESIZE] = bytes(len(memory) // mmap.PAGESIZE)
"""


def child(script: str, *, daemon: bool = False) -> subprocess.Popen[bytes]:
    script = script.format(last_cpu=last_cpu(), last_node=last_node())
    argv = [sys.executable, "-c", CHILD, script]
    if daemon:
        argv = [sys.executable, "-c", f"import subprocess; subprocess.Popen({argv!r}, start_new_session=True)"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    kept.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def thread() -> None:
    """One thread beside the main one takes another cpu for itself."""
    moved = threading.Event()

    def move() -> None:
        os.sched_setaffinity(0, {last_cpu()})  # 0: the calling thread
        moved.set()
        threading.Event().wait()

    threading.Thread(target=move, daemon=True).start()
    moved.wait()


def been() -> None:
    """A child sleeps since it was on another cpu, and may not run there any more."""
    sleeper = child(CHILD_CPUS)
    while not sleeps(sleeper.pid):
        time.sleep(0.01)
    os.sched_setaffinity(sleeper.pid, os.sched_getaffinity(0))


def sleeps(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def mbind() -> None:
    """Give one mapping a policy of its own, as libraries do."""
    memory = mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    mask = (ctypes.c_ulong * 16)(1 << last_node())
    number = {"x86_64": 237, "aarch64": 235}[os.uname().machine]
    if ctypes.CDLL(None, use_errno=True).syscall(number, *map(ctypes.c_ulong, (address, 64 * MIB, 3)), mask, 1024, 0):
        raise OSError(ctypes.get_errno(), "mbind")
    memory[:: mmap.PAGESIZE] = b"\1" * (64 * MIB // mmap.PAGESIZE)
    kept.append(memory)


def policy() -> None:
    """Drop the binding, and have memory elsewhere."""
    set_memory_policy("bind", frozenset({last_node()}))
    touch(64)
    set_memory_policy("default", frozenset())


def crowd() -> None:
    """Three children that work while the parent waits."""
    for _ in range(3):
        child("import threading; threading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()")
    time.sleep(5)


MISDEEDS: dict[str, Callable[[], object]] = {
    "cpus": lambda: os.sched_setaffinity(0, {*os.sched_getaffinity(0), last_cpu()}),
    "thread": thread,
    "been": been,
    "child-cpus": lambda: child(CHILD_CPUS),
    "daemon": lambda: child(CHILD_CPUS, daemon=True),
    "policy": policy,
    "mbind": mbind,
    "child-policy": lambda: child(CHILD_POLICY),
    "crowd": crowd,
    "nothing": lambda: None,
}


def main() -> None:
    touch(32)
    worker.ready()
    misdeeds = sys.argv[1].split(",")
    MISDEEDS[misdeeds[worker.index % len(misdeeds)]]()
    worker.count(1)
    worker.finish()
    for process in kept:
        if isinstance(process, subprocess.Popen):
            process.communicate()


if __name__ == "__main__":
    main()
