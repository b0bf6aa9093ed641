"""How many processes the kernel has killed for want of memory since it started."""

from __future__ import annotations


def count_oom_kills(proc: str = "/proc") -> int | None:
    """The kernel's own count; None where it does not tell (before Linux 4.13, or a masked /proc).

    Args:
        proc: root of procfs; another directory in tests.

    Source: oom_kill in /proc/vmstat (mm/oom_kill.c, __oom_kill_process); it counts every kind, a memory policy's or a
    cgroup's too.
    """
    try:
        with open(f"{proc}/vmstat", "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except OSError:
        return None
    return None
