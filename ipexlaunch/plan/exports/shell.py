"""Shell scripts: one line per instance with numactl, or with torch.backends.xeon.run_cpu."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from ipexlaunch.plan.exports.exported import Exported, assignments, headline, program_words, usage_check
from ipexlaunch.plan.instances import Instance, Plan
from ipexlaunch.plan.numactl import memory_words, numactl_words

HEADER = "#!/bin/sh"
WAITING = """\
trap 'kill $pids 2>/dev/null' INT TERM
status=0
for pid in $pids; do
    wait "$pid" || status=$?
done
exit "$status"
"""


def numactl_script(plan: Plan, program: Sequence[str]) -> tuple[Exported, ...]:
    """A script that starts every instance under numactl, waits for all, and fails if one fails."""
    lines = (
        shlex.join(["env", *assignments(instance, len(plan.instances)), *numactl_words(instance)])
        for instance in plan.chosen
    )
    return (_script("run-instances.sh", plan, program, lines),)


def run_cpu_script(plan: Plan, program: Sequence[str]) -> tuple[Exported, ...]:
    """The same with one `torch.backends.xeon.run_cpu` for each instance; the program is a script and its arguments.

    run_cpu derives memory nodes from core ids, which is wrong where siblings have neighbouring ids, so its own numactl
    is off and the memory policy is set before it starts. Its --core-list takes no ranges.
    Source: torch/backends/xeon/run_cpu.py 2.13.
    """
    return (
        _script("run-cpu.sh", plan, program, (_run_cpu_line(plan, i) for i in plan.chosen), "SCRIPT [ARGUMENT...]"),
    )


def _run_cpu_line(plan: Plan, instance: Instance) -> str:
    cpus = ",".join(str(cpu) for cpu in sorted(instance.cpus))
    words = ["env", *assignments(instance, len(plan.instances)), *memory_words(instance)]
    words += ["python", "-m", "torch.backends.xeon.run_cpu", "--disable-numactl", "--ninstances", "1"]
    return shlex.join([*words, "--ncores-per-instance", str(len(instance.cpus)), "--core-list", cpus])


def _script(
    name: str, plan: Plan, program: Sequence[str], lines: Iterable[str], usage: str = "PROGRAM [ARGUMENT...]"
) -> Exported:
    body = [HEADER, f"# {headline(plan)}", *usage_check(program, usage), "pids="]
    body += [f'{line} {program_words(program)} &\npids="$pids $!"' for line in lines]
    return Exported(name, "\n".join(body) + "\n" + WAITING, executable=True)
