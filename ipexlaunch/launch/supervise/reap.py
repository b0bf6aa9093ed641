"""End what workers leave behind: members of their groups, and daemons that left them and were adopted by us.

Collect processes that have ended, and in the end whatever workers have left behind.
"""

from __future__ import annotations

import os
import re
import resource
import signal
from collections.abc import Callable, Collection

from ipexlaunch.doctor.preloads import preload_crash_hint
from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.launch.lifecycle import SIGNAL_BASE, Event, end_text
from ipexlaunch.launch.programs import describe_exit
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.guardian import Guardian
from ipexlaunch.launch.supervise.handle_messages import FeederDriver
from ipexlaunch.launch.supervise.selector import OutputReader
from ipexlaunch.launch.supervise.worker_set import WorkerSet
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


class Reaper:
    """The only one that waits for processes: workers, the guardian, and orphans that were adopted."""

    def __init__(
        self,
        crew: WorkerSet,
        listener: OutputReader,
        guardian: Guardian,
        feed: Callable[[Event], None],
        feeder: FeederDriver | None,
    ) -> None:
        """Begin with nothing collected; no worker is started yet.

        Args:
            crew: the workers.
            listener: hears their last words.
            guardian: is told whom it need not watch over any more.
            feed: tells the life of the run what happened.
            feeder: gives the workers their items; None where they have their own.
        """
        self._crew = crew
        self._listener = listener
        self._guardian = guardian
        self._feed = feed
        self._feeder = feeder
        self._own_peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._oom_kills = crew.means.oom_kills()
        self._over = False

    def reap(self) -> None:
        """Collect every child that has ended."""
        by_pid = self._crew.by_pid
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            if found.si_pid in by_pid:
                self._crew.process_ended(found.si_pid)
            pid, status, usage = os.wait4(found.si_pid, 0)
            if pid == self._guardian.pid:
                self._guardian.reaped(status, again=not self._over)
            elif pid in by_pid:
                self._ended(by_pid.pop(pid), os.waitstatus_to_exitcode(status), usage)

    def end_leftovers(self) -> None:
        """Leave no process behind, after the workers have ended."""
        crew = self._crew
        self._over = True

        def wait(seconds: float) -> None:
            self._listener.wait(seconds)
            self.reap()

        ours = {*crew.by_pid, self._guardian.pid}
        ended = end_leftovers(crew.means.descendants, ours, crew.limits.grace_s, wait, crew.clock)
        if ended:
            crew.note(orphans_text(ended))
        for place, child in enumerate(crew.children):
            self._listener.drain(place, child)
            self._listener.forget(child)

    def abandon(self) -> None:
        """Kill everything at once: an error is on its way up."""
        crew = self._crew
        for child in crew.children:
            children.signal_group(child, signal.SIGKILL)
        for pid in crew.means.descendants(os.getpid()):
            if pid != self._guardian.pid and pid not in crew.by_pid:
                signal_process(pid, signal.SIGKILL)
        for child in crew.children:
            if child.process is not None and child.process.returncode is None:
                child.process.wait()

    def _ended(self, place: int, code: int, usage: resource.struct_rusage) -> None:
        """Note a worker's end, after its last words."""
        crew, child = self._crew, self._crew.children[place]
        if child.process is not None:
            child.process.returncode = code
        child.cpu_s += usage.ru_utime + usage.ru_stime
        # Linux carries the launcher's own resident set over the exec (exec_mmap in fs/exec.c): only more is told.
        if usage.ru_maxrss > self._own_peak_kb:
            child.peak_memory_bytes = usage.ru_maxrss * 1024
        self._listener.drain(place, child)
        child.exited = crew.clock()
        child.group_is_gone = children.group_is_gone(child)
        if child.process is not None and child.group_is_gone:
            self._guardian.gone(child.process.pid)
        if code == -signal.SIGKILL and not crew.state.stopping:
            self._explain_kill(place)
        elif code and not crew.state.stopping:
            number = -code if code < 0 else code - SIGNAL_BASE  # a shell tells its child's signal so
            lived_s = child.exited - child.started
            doubt = preload_crash_hint(number, lived_s, crew.preloads_of(place), crew.preloads_by_request)
            if doubt:
                crew.note_of(place, f"{describe_exit(code)}; {doubt}")
        now = crew.clock()
        if self._feeder is not None:
            self._feeder.lost(place, end_text(crew.state.workers[place], code), now)
        self._feed(Event("exited", now, place, code))

    def _explain_kill(self, place: int) -> None:
        """Say so where the kernel has killed for want of memory meanwhile."""
        crew = self._crew
        kills = crew.means.oom_kills()
        if kills is not None and self._oom_kills is not None and kills > self._oom_kills:
            self._oom_kills = kills
            crew.note(
                f"instance {crew.index(place)}: the kernel killed a process for want of memory (oom_kill in "
                "/proc/vmstat): its node's under bind, its cgroup's, or the host's; dmesg tells which"
            )
