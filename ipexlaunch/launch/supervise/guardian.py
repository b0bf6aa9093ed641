"""A tiny process that outlives the launcher's SIGKILL by a moment and takes everything with it that the run started.

It waits on a pipe that only the launcher holds. When the pipe closes without a word, the launcher is gone, and the
guardian kills the workers' process groups and then, until none was seen for two seconds, whatever carries the run's
mark. There are two marks: a variable, and a number that the launcher sets as its own soft limit of RLIMIT_RTTIME while
workers may be started. The limit is inherited by every process below, through fork, exec, a new session and an
emptied environment; who is in no real-time class never notices it, and for the others it is 146,000 years.

A shell does this in under 2 MB. Its command line does not hold our name, so that `pkill -9 -f ipexlaunch` spares it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess

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
"""


class Guardian:
    """Handle of the guardian process; what is started between its start and its end carries the marks."""

    def __init__(self, run_id: str) -> None:
        """Start it.

        Args:
            run_id: value of the MARK variable of this run's workers, in hexadecimal digits.
        """
        self._limit = FIRST_LIMIT + int(run_id, 16) % (FIRST_LIMIT - 1)
        self._variables = {
            "PATH": os.environ.get("PATH", os.defpath),
            "VARIABLE": f"{MARK}={run_id}",
            "LIMIT": str(self._limit),
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
        with contextlib.suppress(ValueError):  # somebody has a lower limit imposed on us: the variable has to do
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
        """Note that the supervisor's own wait has collected it: somebody has killed it.

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
