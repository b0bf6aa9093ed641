"""End what workers leave behind: members of their groups, and daemons that left them and were adopted by us."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection

AGAIN_S = 0.2
"""Between rounds of KILL: a killed process may have had children that only then become ours."""


def end_leftovers(
    descendants: Callable[[int], list[int]],
    ours: Collection[int],
    grace_s: float,
    wait: Callable[[float], None],
    clock: Callable[[], float],
) -> int:
    """Ask every process below us to end, kill those that do not, and return how many there were.

    Args:
        descendants: the processes below a process.
        ours: pids that are dealt with elsewhere.
        grace_s: between TERM and KILL.
        wait: waits for a child to end, at most so many seconds, and collects it.
        clock: seconds, monotonic.
    """
    asked: set[int] = set()
    deadline = clock() + grace_s
    while left := [pid for pid in descendants(os.getpid()) if pid not in ours]:
        late = clock() >= deadline
        for pid in left:
            if late or pid not in asked:
                signal_process(pid, signal.SIGKILL if late else signal.SIGTERM)
                asked.add(pid)
        if late:
            deadline = clock() + AGAIN_S
        wait(max(0.0, deadline - clock()))
    return len(asked)


def signal_process(pid: int, number: signal.Signals) -> None:
    """Signal a process that may have ended meanwhile; a stopped one must run to be able to end."""
    try:
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return
