"""A rate was asked for and nothing was counted: the reason, and the processes below the worker that nobody watched."""

from __future__ import annotations

from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.launch.run_record import COUNTED_NOTHING
from ipexlaunch.launch.supervise.counts_in_output import uncountable_text
from ipexlaunch.launch.supervise.worker_process import WorkerProcess
from ipexlaunch.launch.supervise.worker_set import WorkerSet
from ipexlaunch.machine.proc_files import text_of

LOOK_S = 1.0
"""Between two looks for processes below a worker that has counted nothing."""

SHARE = 0.005
"""Most of one core's time that these looks may take."""

NAMES_TOLD = 3

LONGEST_NAME = 60


UNWATCHED = ", which it does not watch"


class DescendantWatch:
    """Remembers what runs below each worker that has counted nothing so far."""

    def __init__(self, crew: WorkerSet, proc: str = "/proc") -> None:
        """Begin with nothing seen.

        Args:
            crew: the workers.
            proc: root of procfs.
        """
        self._crew, self._proc = crew, proc
        self._due = crew.clock()

    def look(self) -> None:
        """Look once more, unless the looks so far have cost too much."""
        crew = self._crew
        now = crew.clock()
        if now < self._due:
            return
        for place, child in enumerate(crew.children):
            if child.process is None or child.exited is not None or crew.record(place).samples.times:
                continue
            for pid in crew.means.descendants(child.process.pid):
                name = _command_of(text_of(f"{self._proc}/{pid}/cmdline") or "")
                if name:
                    child.below[pid] = name
        ended = crew.clock()
        self._due = ended + max(0.0, ended - now) / SHARE


def descendants_text(child: WorkerProcess) -> str:
    """The processes that were seen below a worker, as the end of a sentence; "" for none."""
    names = list(dict.fromkeys(child.below.values()))
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    return f"; below it ran {', '.join(names[:NAMES_TOLD])}{more}" if names else ""


def check_counts(crew: WorkerSet, asked_by: str) -> None:
    """Have the results doubted of workers that were asked for a rate, ended well, and counted nothing, or printed what
    cannot be counted.

    Args:
        crew: the workers, after their end.
        asked_by: the option that asked for rates.
    """
    crew.add_claims()
    for place, (child, worker) in enumerate(zip(crew.children, crew.state.workers, strict=True)):
        if worker.exit_code == 0:
            _doubt_uncounted(crew, place, asked_by)
        if child.printed is not None and child.printed.doubt and not child.counts_itself:
            crew.doubt(place, uncountable_text(child.printed.doubt))


def _doubt_uncounted(crew: WorkerSet, place: int, option: str) -> None:
    child, record = crew.children[place], crew.record(place)
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
    crew.doubt(place, f"{option} {COUNTED_NOTHING}: {why}")


def _command_of(cmdline: str) -> str:
    """A process's command as people know it: program, and the first of its words that is no option."""
    words = [word.rpartition("/")[2] if i < 2 else word for i, word in enumerate(cmdline.split("\0")) if word]
    text = " ".join(mask_words(words[:3]))
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 3] + "..."
