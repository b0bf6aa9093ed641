"""A tiny process that outlives the launcher's SIGKILL by a moment and takes the workers with it.

It waits on a pipe that only the launcher holds. When the pipe closes without a word, the launcher is gone, and the
guardian kills the workers' process groups and, for two seconds, whatever else carries the run's mark in its
environment: a daemon that left its group, or a worker that was just being started and carries the mark only once it
runs. A shell does this in under 2 MB; PR_SET_PDEATHSIG would need code of ours in every worker and would miss
grandchildren.
"""

from __future__ import annotations

import contextlib
import os
import subprocess

MARK = "IPEXLAUNCH_RUN"
"""Environment variable that every process of a run inherits."""

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
[ -z "$groups" ] || kill -KILL -- $groups 2>/dev/null
for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  for place in $(grep -lszFx -- "$1" /proc/[0-9]*/environ); do
    place=${place#/proc/}
    kill -KILL "${place%/environ}" 2>/dev/null
  done
  sleep 0.1
done
"""


class Guardian:
    """Handle of the guardian process; use it as a context manager around the run."""

    def __init__(self, run_id: str) -> None:
        """Start it.

        Args:
            run_id: value of the MARK variable of this run's workers.
        """
        environment = {"PATH": os.environ.get("PATH", os.defpath)}
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", SCRIPT, "ipexlaunch-guardian", f"{MARK}={run_id}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
            cwd="/",
        )
        self.pid = self._process.pid

    def add(self, group: int) -> None:
        """Watch over a process group."""
        self._tell(f"add {group}")

    def gone(self, group: int) -> None:
        """Forget a group that has ended, before its number can mean something else."""
        self._tell(f"gone {group}")

    def end(self) -> None:
        """Send it home: the run is over and nothing is left to kill."""
        self._tell("end")
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()

    def reaped(self, status: int) -> None:
        """Note that the supervisor's own wait has collected it."""
        self._process.returncode = os.waitstatus_to_exitcode(status)

    def _tell(self, line: str) -> None:
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return
        # Somebody killed the guardian: the run goes on, it only lost its insurance.
        with contextlib.suppress(BrokenPipeError):
            stdin.write(line.encode() + b"\n")
            stdin.flush()
