"""Collect processes that have ended, and in the end whatever workers have left behind."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable

from ipexlaunch.doctor.preloads import doubt_of_death
from ipexlaunch.launch.exit_status import describe_exit
from ipexlaunch.launch.lifecycle import SIGNAL_BASE, Event, end_in_words
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.drive_feeder import TendedFeeder
from ipexlaunch.launch.supervise.guardian import Guardian
from ipexlaunch.launch.supervise.orphans import end_leftovers, signal_process, told_of
from ipexlaunch.launch.supervise.read_output import Listener
from ipexlaunch.launch.supervise.worker_set import Crew


class Collector:
    """The only one that waits for processes: workers, the guardian, and orphans that were adopted."""

    def __init__(
        self,
        crew: Crew,
        listener: Listener,
        guardian: Guardian,
        feed: Callable[[Event], None],
        feeder: TendedFeeder | None,
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
            crew.note(told_of(ended))
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
            doubt = doubt_of_death(number, lived_s, crew.preloads_of(place), crew.preloads_by_request)
            if doubt:
                crew.note_of(place, f"{describe_exit(code)}; {doubt}")
        now = crew.clock()
        if self._feeder is not None:
            self._feeder.lost(place, end_in_words(crew.state.workers[place], code), now)
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
