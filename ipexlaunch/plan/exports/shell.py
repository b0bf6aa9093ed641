"""A shell script: one line per instance with numactl."""

from __future__ import annotations

import shlex

from ipexlaunch.plan.exports.exported import ExportFile, Workload, headline, usage_check
from ipexlaunch.plan.numactl import numactl_words
from ipexlaunch.plan.plan import Instance, Plan

HEADER = "#!/bin/sh"
WAITING = """\
trap 'kill $pids 2>/dev/null' INT TERM
status=0
for pid in $pids; do
    wait "$pid" || status=$?
done
exit "$status"
"""


def numactl_script(plan: Plan, work: Workload) -> tuple[ExportFile, ...]:
    """A script that starts every instance under numactl, waits for all, and fails if one fails."""
    body = [HEADER, f"# {headline(plan)}", *usage_check(work.program), "pids="]
    body += [f'{_start(plan, instance, work)} &\npids="$pids $!"' for instance in plan.chosen]
    return (ExportFile("run-instances.sh", "\n".join(body) + "\n" + WAITING, executable=True),)


def _start(plan: Plan, instance: Instance, work: Workload) -> str:
    words = shlex.join(["env", *work.assignments(plan, instance), *numactl_words(instance)])
    fill = work.fill_arguments(plan, instance)
    line = f"{words} {work.shell_words(plan, instance)}"
    return f"(\n{fill}\nexec {line}\n)" if fill else line
