"""A rate was asked for and nothing was counted: the reason, and the processes below the worker that nobody watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.launch.announced import COUNTED_NOTHING, Told
from ipexlaunch.launch.supervise.worker_process import Child
from ipexlaunch.machine.proc_files import text_of

LOOK_S = 1.0
"""Between two looks for processes below a worker that has counted nothing."""

SHARE = 0.005
"""Most of one core's time that these looks may take."""

NAMES_TOLD = 3

LONGEST_NAME = 60


class Below:
    """Remembers what runs below each worker that has counted nothing so far."""

    def __init__(
        self,
        children: Sequence[Child],
        descendants: Callable[[int], list[int]],
        clock: Callable[[], float],
        proc: str = "/proc",
    ) -> None:
        """Begin with nothing seen.

        Args:
            children: the workers.
            descendants: the processes below a process.
            clock: seconds, monotonic.
            proc: root of procfs.
        """
        self._children, self._descendants, self._clock, self._proc = children, descendants, clock, proc
        self._due = clock()

    def look(self, now: float) -> None:
        """Look once more, unless the looks so far have cost too much.

        Args:
            now: seconds of the clock.
        """
        if now < self._due:
            return
        for child in self._children:
            if child.process is None or child.exited is not None or child.counts[0].times:
                continue
            for pid in self._descendants(child.process.pid):
                name = _command_of(text_of(f"{self._proc}/{pid}/cmdline") or "")
                if name:
                    child.below[pid] = name
        ended = self._clock()
        self._due = ended + max(0.0, ended - now) / SHARE


def doubt_uncounted(child: Child, option: str) -> None:
    """Have a worker's results doubted that was asked for a rate, ended well, and counted nothing.

    Args:
        child: the worker, after its end.
        option: that asked for the rate.
    """
    told = child.told if child.told is not None else Told()
    samples, claimed = child.counts[0], child.printed.claimed_rate if child.printed is not None else None
    if samples.times or claimed is not None:
        return
    names = list(dict.fromkeys(child.below.values()))
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    below = f"; below it ran {', '.join(names[:NAMES_TOLD])}{more}" if names else ""
    said = next((reason for reason in told.invalid if COUNTED_NOTHING in reason), "")
    if said:
        told.invalid[told.invalid.index(said)] = said + (f"{below}, which it does not watch" if names else "")
        return
    if child.printed is None:
        why = f"no model (torch.nn.Module) was called in this process{below}"
        why += ", which it does not watch" if names else ""
    elif child.printed.matched:
        why = f"what it matched was before the program was ready, or counted 0{below}"
    else:
        why = f"it matched no line of the program's output{below}{': is their output redirected?' if names else ''}"
    told.add_invalid(f"{option} {COUNTED_NOTHING}: {why}")
    child.told = told


def _command_of(cmdline: str) -> str:
    """A process's command as people know it: program, and the first of its words that is no option."""
    words = [word.rpartition("/")[2] if i < 2 else word for i, word in enumerate(cmdline.split("\0")) if word]
    text = " ".join(mask_words(words[:3]))
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 3] + "..."
