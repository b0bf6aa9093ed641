"""Processes below the workers: those seen where a rate was asked for and nothing was counted, and those that are left.

Those that are left at the end are ended: members of workers' groups, and daemons that were adopted by us.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Collection

from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.launch.run_record import COUNTED_NOTHING
from ipexlaunch.launch.supervise.counts_in_output import uncountable_text
from ipexlaunch.launch.supervise.worker_process import WorkerProcess
from ipexlaunch.launch.supervise.worker_set import WorkerSet
from ipexlaunch.machine.proc_files import text_of

NAMES_TOLD = 3

NAMELESS = "(without a name)"
"""A process that has emptied its own command."""

LONGEST_NAME = 60

LOOK_S = 1.0
"""Between two looks for processes below a worker that has counted nothing."""

SHARE = 0.005
"""Most of one core's time that these looks may take."""

UNWATCHED = ", which it does not watch"


class DescendantWatch:
    """Remembers what runs below each worker that has counted nothing so far."""

    def __init__(self, worker_set: WorkerSet, proc: str = "/proc") -> None:
        """Begin with nothing seen.

        Args:
            worker_set: the workers.
            proc: root of procfs.
        """
        self._worker_set, self._proc = worker_set, proc
        self._due = worker_set.clock()

    def look(self) -> None:
        """Look once more, unless the looks so far have cost too much."""
        worker_set = self._worker_set
        now = worker_set.clock()
        if now < self._due:
            return
        for place, child in enumerate(worker_set.children):
            if child.process is None or child.exited is not None or worker_set.record(place).samples.times:
                continue
            for pid in worker_set.callbacks.descendants(child.process.pid):
                name = _command_of(text_of(f"{self._proc}/{pid}/cmdline") or "")
                if name:
                    child.below[pid] = name
        ended = worker_set.clock()
        self._due = ended + max(0.0, ended - now) / SHARE


def descendants_text(child: WorkerProcess) -> str:
    """The processes that were seen below a worker, as the end of a sentence; "" for none."""
    names = list(dict.fromkeys(child.below.values()))
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    return f"; below it ran {', '.join(names[:NAMES_TOLD])}{more}" if names else ""


def check_counts(worker_set: WorkerSet, asked_by: str) -> None:
    """Have the results doubted of workers that were asked for a rate, ended well, and counted nothing, or printed what
    cannot be counted.

    Args:
        worker_set: the workers, after their end.
        asked_by: the option that asked for rates.
    """
    worker_set.add_claims()
    for place, (child, worker) in enumerate(zip(worker_set.children, worker_set.state.workers, strict=True)):
        if worker.exit_code == 0:
            _doubt_uncounted(worker_set, place, asked_by)
        if child.printed is not None and child.printed.doubt and not child.counts_itself:
            worker_set.doubt(place, uncountable_text(child.printed.doubt))


def _doubt_uncounted(worker_set: WorkerSet, place: int, option: str) -> None:
    child, record = worker_set.children[place], worker_set.record(place)
    if record.samples.times or record.claimed_rate is not None:
        return
    below = descendants_text(child)
    if record.told is not None and any(COUNTED_NOTHING in reason for reason in record.told.invalid):
        return
    if child.printed is None:
        why = f"no model (torch.nn.Module) was called in this process{below}{UNWATCHED * bool(below)}"
    elif child.printed.matched:
        why = f"what it matched was before the program was ready, or counted 0{below}"
    else:
        why = f"it matched no line of the program's output{below}{': is their output redirected?' if below else ''}"
    worker_set.doubt(place, f"{option} {COUNTED_NOTHING}: {why}")


def _command_of(cmdline: str) -> str:
    """A process's command as people know it: program, and the first of its words that is no option."""
    words = [word.rpartition("/")[2] if i < 2 else word for i, word in enumerate(cmdline.split("\0")) if word]
    return _shown(" ".join(mask_words(words[:3])))


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
    tell = command_of or _whole_command_of
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


def _whole_command_of(pid: int) -> str:
    """The words of a command; "" where the process has given up its memory, which it does early as it ends."""
    words = text_of(f"/proc/{pid}/cmdline")
    return " ".join(mask_words(words.strip("\0").split("\0"))) or NAMELESS if words else ""


def _short(command: str) -> str:
    """A command with its program's name alone, printable, and not long."""
    program, blank, rest = command.partition(" ")
    return _shown(program.rpartition("/")[2] + blank + rest)


def _shown(command: str) -> str:
    text = "".join(c if c.isprintable() else "?" for c in command)
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 3] + "..."
