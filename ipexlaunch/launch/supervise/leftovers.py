"""End what workers leave behind: members of their groups, and daemons that left them and were adopted by us."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Collection

from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.machine.proc_files import text_of

AGAIN_S = 0.2
"""Between rounds of KILL: a killed process may have had children that only then become ours."""

HELPERS = re.compile(
    r"from (multiprocessing|(joblib\.externals\.)?loky\.backend)\."
    r"(resource_tracker|semaphore_tracker|forkserver) import main"
    r"|-m (joblib\.externals\.)?loky\.backend\.resource_tracker"
)
"""Command of a process that Python starts for itself and that ends when those have that it serves (multiprocessing,
loky): nobody has left it behind."""


def end_leftovers(
    descendants: Callable[[int], list[int]],
    ours: Collection[int],
    grace_s: float,
    wait: Callable[[float], None],
    clock: Callable[[], float],
    command_of: Callable[[int], str] | None = None,
) -> list[str]:
    """Ask every process below us to end, kill those that do not, and return the commands of those that were left.

    Args:
        descendants: the processes below a process.
        ours: pids that are dealt with elsewhere.
        grace_s: between TERM and KILL.
        wait: waits for a child to end, at most so many seconds, and collects it.
        clock: seconds, monotonic.
        command_of: the words of a process's command, "" of one that is ending; None to ask the kernel.
    """
    tell = command_of or _command_of
    names: dict[int, str] = {}
    asked: set[int] = set()
    deadline = clock() + grace_s
    while left := [pid for pid in descendants(os.getpid()) if pid not in ours]:
        late = clock() >= deadline
        for pid in left:
            if not names.get(pid):
                names[pid] = tell(pid)
            if not late and (not names[pid] or HELPERS.search(names[pid])):
                continue  # it is ending, or ends by itself; Python's trackers take no notice of TERM
            if late or pid not in asked:
                signal_process(pid, signal.SIGKILL if late else signal.SIGTERM)
                asked.add(pid)
        if late:
            deadline = clock() + AGAIN_S
        wait(max(0.0, deadline - clock()))
    return [_short(names[pid]) for pid in sorted(asked) if not HELPERS.search(names[pid])]


def signal_process(pid: int, number: signal.Signals) -> None:
    """Signal a process that may have ended meanwhile; a stopped one must run to be able to end."""
    try:
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


def orphans_text(ended: Collection[str]) -> str:
    """The line about processes that were ended: how many, and which.

    Args:
        ended: their commands.
    """
    names = list(dict.fromkeys(filter(None, ended)))
    which = f": {', '.join(names[:NAMES_TOLD])}{' ...' * (len(names) > NAMES_TOLD)}" if names else ""
    return f"ended {len(ended)} process{'es' * (len(ended) != 1)} that the workers had left behind{which}"


NAMES_TOLD = 3

NAMELESS = "(without a name)"
"""A process that has emptied its own command."""

LONGEST_NAME = 60


def _command_of(pid: int) -> str:
    """The words of a command; "" where the process has given up its memory, which it does early as it ends."""
    words = text_of(f"/proc/{pid}/cmdline")
    return " ".join(mask_words(words.strip("\0").split("\0"))) or NAMELESS if words else ""


def _short(command: str) -> str:
    """A command with its program's name alone, printable, and not long."""
    program, blank, rest = command.partition(" ")
    text = "".join(c if c.isprintable() else "?" for c in program.rpartition("/")[2] + blank + rest)
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 3] + "..."
