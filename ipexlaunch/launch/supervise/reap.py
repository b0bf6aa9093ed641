"""Collect processes that have ended, and leave none behind, even where the launcher itself is killed.

For that there is a guardian, a tiny process that outlives the launcher's SIGKILL by a moment and takes everything with
it that the run started. It waits on a pipe that only the launcher holds. When the pipe closes without a word, the
launcher is gone, and the guardian kills the workers' process groups and then, until none was seen for two seconds,
whatever carries the run's mark. There are two marks: a variable, and a number that the launcher sets as its own soft
limit of RLIMIT_RTTIME while workers may be started. The limit is inherited by every process below, through fork, exec,
a new session and an emptied environment; who is in no real-time class never notices it, and for the others it is
146,000 years.

A shell does this in under 2 MB. Its command line does not hold our name, so that `pkill -9 -f ipexlaunch` spares it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Sequence

from ipexlaunch.doctor.worker_variables import preload_crash_hint
from ipexlaunch.launch.confine import Confinement
from ipexlaunch.launch.lifecycle import SIGNAL_BASE, Event, end_text
from ipexlaunch.launch.process_failures import describe_exit
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.descendants import end_leftovers, orphans_text, signal_process
from ipexlaunch.launch.supervise.handle_messages import FeederDriver
from ipexlaunch.launch.supervise.selector import OutputReader
from ipexlaunch.launch.supervise.side_process import SideProcess
from ipexlaunch.launch.supervise.template_process import TemplateProcess
from ipexlaunch.launch.supervise.worker_set import WorkerSet

MARK = "IPEXLAUNCH_RUN"
"""Environment variable that every process of a run inherits."""

FIRST_LIMIT = 1 << 62
"""Microseconds; the run's own number is added to it."""

MOST_RESTARTS = 8
"""Of a guardian that was killed."""

SCRIPT = r"""
trap '' INT TERM HUP
groups=
while read -r word group; do
  case $word in
    add) groups="$groups -$group" ;;
    gone)
      kept=
      for one in $groups; do [ "$one" = "-$group" ] || kept="$kept $one"; done
      groups=$kept ;;
    end) exit 0 ;;
  esac
done
[ -z "$groups" ] || kill -s KILL -- $groups 2>/dev/null
(IFS=$NEWLINE; set -f; [ -z "$LEFTOVERS" ] || rm -rf -- $LEFTOVERS)
quiet=0 rounds=0 seen=' '
while [ $quiet -lt 20 ] && [ $rounds -lt 600 ]; do
  quiet=$((quiet + 1)) rounds=$((rounds + 1))
  for place in $(grep -lszFx -- "$VARIABLE" /proc/[0-9]*/environ; grep -lsF -- " $LIMIT " /proc/[0-9]*/limits); do
    place=${place#/proc/}
    place=${place%/*}
    kill -s KILL -- "$place" 2>/dev/null
    case $seen in *" $place "*) ;; *) seen="$seen$place " quiet=0 ;; esac
  done
  sleep 0.1
done
[ -z "$CGROUP" ] || rmdir "$CGROUP"/*/ "$CGROUP"
for place in "${CONTROL%/*}"/*/; do [ ! -d "$place" ] || CONTROL=; done
[ -z "$CONTROL" ] || echo -cpuset > "$CONTROL"
"""


class Guardian:
    """Handle of the guardian process; what is started between its start and its end carries the marks."""

    def __init__(self, run_id: str, confinement: Confinement | None, leftovers: Sequence[str] = ()) -> None:
        """Start it.

        Args:
            run_id: value of the MARK variable of this run's workers, in hexadecimal digits.
            confinement: cgroups that it removes in the end; None where there are none.
            leftovers: paths that it removes where the launcher is killed.
        """
        self._limit = FIRST_LIMIT + int(run_id, 16) % (FIRST_LIMIT - 1)
        self._variables = {
            "PATH": os.environ.get("PATH", os.defpath),
            "VARIABLE": f"{MARK}={run_id}",
            "LIMIT": str(self._limit),
            "CGROUP": confinement.path if confinement is not None else "",
            "CONTROL": confinement.control if confinement is not None else "",
            "LEFTOVERS": "\n".join(leftovers),
            "NEWLINE": "\n",
        }
        self._groups: list[int] = []
        self._restarts = 0
        self._own_limits = resource.getrlimit(resource.RLIMIT_RTTIME)
        self._process = self._start()
        self.pid = self._process.pid

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the process without a mark: neither ours nor that of a run whose worker we are; then mark ourselves."""
        hard = self._own_limits[1]
        resource.setrlimit(resource.RLIMIT_RTTIME, (hard, hard))
        process = subprocess.Popen(
            ["/bin/sh", "-c", SCRIPT, "run-guardian"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=self._variables,
            cwd="/",
        )
        with contextlib.suppress(ValueError):  # a lower limit is imposed on us: the variable has to do
            resource.setrlimit(resource.RLIMIT_RTTIME, (self._limit, hard))
        return process

    def add(self, group: int) -> None:
        """Watch over a process group."""
        self._groups.append(group)
        self._tell(f"add {group}")

    def gone(self, group: int) -> None:
        """Forget a group that has ended, before its number can mean something else."""
        with contextlib.suppress(ValueError):
            self._groups.remove(group)
        self._tell(f"gone {group}")

    def end(self) -> None:
        """Send it home: the run is over and nothing is left to kill."""
        resource.setrlimit(resource.RLIMIT_RTTIME, self._own_limits)
        self._tell("end")
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()

    def reaped(self, status: int, *, again: bool) -> None:
        """Note that the supervisor's own wait has collected it: something has killed it.

        Args:
            status: as wait(2) gives it.
            again: whether the run still needs one; a new one then takes its place.
        """
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if not again or self._restarts >= MOST_RESTARTS:
            return
        self._restarts += 1
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        with contextlib.suppress(OSError):  # no process more is allowed: the run goes on without one
            self._process = self._start()
        self.pid = self._process.pid
        for group in self._groups:
            self._tell(f"add {group}")

    def _tell(self, line: str) -> None:
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return
        # Somebody killed the guardian: the run goes on, and the next wait starts another.
        with contextlib.suppress(BrokenPipeError):
            stdin.write(line.encode() + b"\n")
            stdin.flush()


class Reaper:
    """The only one that waits for processes: workers, the guardian, and orphans that were adopted."""

    def __init__(
        self,
        worker_set: WorkerSet,
        listener: OutputReader,
        guardian: Guardian,
        feed: Callable[[Event], None],
        feeder: FeederDriver | None,
        others: Sequence[TemplateProcess | SideProcess] = (),
    ) -> None:
        """Begin with nothing collected; no worker is started yet.

        Args:
            worker_set: the workers.
            listener: hears their last words.
            guardian: is told whom it need not watch over any more.
            feed: tells the life of the run what happened.
            feeder: gives the workers their items; None where they have their own.
            others: processes that are no workers; some fork them, of which we may hear only when one has ended.
        """
        self._others = others
        self._worker_set = worker_set
        self._listener = listener
        self._guardian = guardian
        self._feed = feed
        self._feeder = feeder
        self._own_peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._oom_kills = worker_set.callbacks.oom_kills()
        self._over = False

    def reap(self) -> None:
        """Collect every child that has ended."""
        by_pid = self._worker_set.by_pid
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            if found.si_pid not in by_pid:
                for other in self._others:
                    other.hear()
            if found.si_pid in by_pid:
                self._worker_set.process_ended(found.si_pid)
            pid, status, usage = os.wait4(found.si_pid, 0)
            if pid == self._guardian.pid:
                self._guardian.reaped(status, again=not self._over)
            elif pid in by_pid:
                self._ended(by_pid.pop(pid), os.waitstatus_to_exitcode(status), usage)
            else:
                for other in self._others:
                    if other.pid == pid:
                        other.ended(os.waitstatus_to_exitcode(status), usage)

    def end_leftovers(self) -> None:
        """Leave no process behind, after the workers have ended."""
        worker_set = self._worker_set
        self._over = True

        def wait(seconds: float) -> None:
            self._listener.wait(seconds)
            self.reap()

        ours = {*worker_set.by_pid, self._guardian.pid}
        if not ours.issuperset(worker_set.callbacks.descendants(os.getpid())):
            ended = end_leftovers(
                worker_set.callbacks.descendants, ours, worker_set.limits.grace_s, wait, worker_set.clock
            )
            if ended:
                worker_set.note(orphans_text(ended))
        if worker_set.callbacks.confinement is not None:
            for change in worker_set.callbacks.confinement.changes():
                worker_set.note(change)
        for place, child in enumerate(worker_set.children):
            self._listener.drain(place, child)
            self._listener.forget(child)

    def abandon(self) -> None:
        """Kill everything at once: an error is on its way up."""
        worker_set = self._worker_set
        for child in worker_set.children:
            children.signal_group(child, signal.SIGKILL)
        for pid in worker_set.callbacks.descendants(os.getpid()):
            if pid != self._guardian.pid and pid not in worker_set.by_pid:
                signal_process(pid, signal.SIGKILL)
        for child in worker_set.children:
            if child.process is not None and child.process.returncode is None:
                child.process.wait()

    def _ended(self, place: int, code: int, usage: resource.struct_rusage) -> None:
        """Note a worker's end, after its last words."""
        worker_set, child = self._worker_set, self._worker_set.children[place]
        if child.process is not None:
            child.process.returncode = code
        child.cpu_s += usage.ru_utime + usage.ru_stime
        # Linux carries the launcher's own resident set over the exec (exec_mmap in fs/exec.c): only more is told.
        if usage.ru_maxrss > self._own_peak_kb:
            child.peak_memory_bytes = usage.ru_maxrss * 1024
        self._listener.drain(place, child)
        child.exited = worker_set.clock()
        child.group_is_gone = children.group_is_gone(child)
        if child.process is not None and child.group_is_gone:
            self._guardian.gone(child.process.pid)
        if code == -signal.SIGKILL and not worker_set.state.stopping:
            self._explain_kill(place)
        elif code and not worker_set.state.stopping:
            number = -code if code < 0 else code - SIGNAL_BASE  # a shell tells its child's signal so
            lived_s = child.exited - child.started
            doubt = preload_crash_hint(number, lived_s, worker_set.preloads_of(place), worker_set.preloads_by_request)
            if doubt:
                worker_set.note_of(place, f"{describe_exit(code)}; {doubt}")
        now = worker_set.clock()
        if self._feeder is not None:
            self._feeder.lost(place, end_text(worker_set.state.workers[place], code), now)
        self._feed(Event("exited", now, place, code))

    def _explain_kill(self, place: int) -> None:
        """Say so where the kernel has killed for want of memory meanwhile."""
        worker_set = self._worker_set
        kills = worker_set.callbacks.oom_kills()
        if kills is not None and self._oom_kills is not None and kills > self._oom_kills:
            self._oom_kills = kills
            worker_set.note(
                f"instance {worker_set.index(place)}: the kernel killed a process for want of memory (oom_kill in "
                "/proc/vmstat): its node's under bind, its cgroup's, or the host's; dmesg tells which"
            )
