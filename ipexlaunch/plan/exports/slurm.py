"""A Slurm batch script: one task for each instance, bound by srun itself.

Source: sbatch(1), srun(1) (--cpu-bind=mask_cpu, --mem-bind=mask_mem).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from ipexlaunch.plan.exports.exported import ExportFile, Workload, fill_in_shell, headline, text_of, usage_check
from ipexlaunch.plan.numactl import memory_argv
from ipexlaunch.plan.plan import Instance, Plan
from ipexlaunch.plan.templates import NAMES

MEMORY_BINDS = {"bind": "", "preferred": "prefer,"}


def slurm_script(plan: Plan, work: Workload) -> tuple[ExportFile, ...]:
    """A script for `sbatch run-instances.sbatch PROGRAM ...` on one whole host.

    Tasks differ in their threads and names, so a case on SLURM_PROCID sets each one's environment, and what
    `{index}` and its kind stand for. Policies that srun
    has no word for are set by numactl inside the task.
    """
    chosen = plan.chosen
    lines = [
        "#!/bin/bash",
        "#SBATCH --job-name=ipexlaunch",
        "#SBATCH --nodes=1",
        f"#SBATCH --ntasks={len(chosen)}",
        "#SBATCH --exclusive",
        "#SBATCH --mem=0",
        f"# {headline(plan)}",
        *usage_check(work.program),
        f"exec srun --ntasks={len(chosen)} --kill-on-bad-exit=1 --label \\",
        "    --cpu-bind=mask_cpu:" + ",".join(_mask(instance.cpus) for instance in chosen) + " \\",
        f"    {_memory_bind(chosen)} \\",
        "    bash -c " + shlex.quote(_task(plan, work)) + " ipexlaunch-task " + (shlex.join(work.program) or '"$@"'),
    ]
    return (ExportFile("run-instances.sbatch", text_of(lines), executable=True),)


def _memory_bind(instances: Sequence[Instance]) -> str:
    policies = {instance.memory for instance in instances}
    if len(policies) == 1 and (policy := next(iter(policies))) in MEMORY_BINDS:
        masks = ",".join(_mask(instance.nodes) for instance in instances)
        return f"--mem-bind={MEMORY_BINDS[policy]}mask_mem:{masks}"
    return "--mem-bind=none"


def _task(plan: Plan, work: Workload) -> str:
    """The shell program of every task: its environment and names by its number, then the real program."""
    by_numactl = _memory_bind(plan.chosen) == "--mem-bind=none"
    lines = ['case "$SLURM_PROCID" in']
    for number, instance in enumerate(plan.chosen):
        sets = " ".join(f"{k}={shlex.quote(v)}" for k, v in work.environment(plan, instance).items())
        words = shlex.join(memory_argv(instance)) if by_numactl else ""
        own = " ".join(f"own_{name}={value}" for name, value in work.values(plan, instance).items())
        lines.append(f"{number}) export {sets}; {own}; bind='{words}' ;;")
    # The quotes end and begin again around each name, so that the shell fills it in.
    fill = fill_in_shell({name: f"'$own_{name}'" for name in NAMES})
    return "\n".join([*lines, "esac", fill, 'exec $bind "$@"'])


def _mask(ids: Iterable[int]) -> str:
    return hex(sum(1 << number for number in ids))
