"""A worker of `ipexlaunch run --confine` that does its best to leave its slice, and tells how far it came.

    ipexlaunch run --confine auto stray_worker.py DEED DIRECTORY

Its facts, or DIRECTORY/ready where it does not live to tell, say what the kernel answered.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ipexlaunch import worker
from ipexlaunch.launch.bind import set_memory_policy
from ipexlaunch.machine.cpulist import format_list
from tests.guest.touch_memory import touched

HOME = frozenset(os.sched_getaffinity(0))
CPUS = frozenset(range(os.cpu_count() or 1))
DAEMON = (
    "import os, time; os.sched_setaffinity(0, range(64)); print(os.sched_getaffinity(0), flush=True); time.sleep(999)"
)
"""With an empty environment and a session of its own: nothing but its cgroup holds it."""


def answer(act: Callable[[], object]) -> str:
    """What the kernel said to it."""
    try:
        return str(act() or "accepted")
    except OSError as error:
        return str(error.strerror)


def affinity(wanted: frozenset[int]) -> str:
    """The cpus that one gets who wants these."""
    os.sched_setaffinity(0, wanted)
    got = format_list(os.sched_getaffinity(0))
    os.sched_setaffinity(0, HOME)
    return got


def cgroup() -> Path:
    """The directory of our cgroup."""
    return Path("/sys/fs/cgroup" + Path("/proc/self/cgroup").read_text().rpartition("0::")[2].strip())


def daemon() -> str:
    """Start one, and take its affinity."""
    reader, writer = os.pipe()
    launch = f"import subprocess; subprocess.Popen([{sys.executable!r}, '-c', {DAEMON!r}], stdout={writer}, env={{}},"
    launch += f"start_new_session=True, pass_fds=({writer},))"
    subprocess.run([sys.executable, "-I", "-S", "-c", launch], pass_fds=(writer,), check=True)
    os.close(writer)
    with os.fdopen(reader) as told:
        return format_list(eval(told.readline()))


def stray() -> None:
    """Every way out that asks the kernel."""
    worker.tell(
        cgroup=cgroup().name,
        everywhere=answer(lambda: affinity(CPUS)),
        elsewhere=answer(lambda: affinity(CPUS - HOME)),
        daemon=answer(daemon),
        taskset=subprocess.run(["taskset", "-c", format_list(CPUS - HOME), "true"], capture_output=True).returncode,
        policies=[answer(partial(set_memory_policy, "bind", frozenset({node}))) for node in (0, 1)],
    )
    answer(lambda: set_memory_policy("default", frozenset()))
    os.sched_setaffinity(0, HOME)


def widen() -> None:
    """Play an administrator who gives the cgroup another cpu."""
    (cgroup() / "cpuset.cpus").write_text(format_list(CPUS))


def narrow() -> None:
    """Play one who takes some away."""
    (cgroup() / "cpuset.cpus").write_text(str(min(HOME)))


def vanish(*, whole: bool) -> None:
    """In the first attempt: leave the cgroup, remove it, or that of the whole run, and fail; then tell where one is."""
    mark, own = Path(sys.argv[2], "vanished"), cgroup()
    if not mark.exists():
        mark.touch()
        (own.parents[1] / "cgroup.procs").write_text("0")
        own.rmdir()
        if whole:
            own.parent.rmdir()
        sys.exit(3)
    worker.tell(cgroup=own.name, cpus=format_list(os.sched_getaffinity(0)))


def hang() -> None:
    """With a daemon beside it, until somebody ends both."""
    Path(sys.argv[2], "ready").write_text(f"{cgroup().parent} {daemon()}")
    time.sleep(999)


DEEDS: dict[str, Callable[[], object]] = {
    "stray": stray,
    "widen": widen,
    "narrow": narrow,
    "vanish": lambda: vanish(whole=False),
    "vanish-whole": lambda: vanish(whole=True),
    "hang": hang,
    "nothing": lambda: None,
}


def main() -> None:
    """Do it, and have memory for the look at the end."""
    worker.ready()
    DEEDS[sys.argv[1]]()
    with touched(16):
        worker.count(items=1)
        worker.finish()


if __name__ == "__main__":
    main()
