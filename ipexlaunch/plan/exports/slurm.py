"""A Slurm batch script: one task for each instance, bound by srun itself.

Source: sbatch(1), srun(1) (--cpu-bind=mask_cpu, --mem-bind=mask_mem).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from ipexlaunch.plan.exports.exported import Exported, environment, headline, program_words, usage_check
from ipexlaunch.plan.instances import Instance, Plan
from ipexlaunch.plan.numactl import memory_words

MEMORY_BINDS = {"bind": "", "preferred": "prefer,"}


def slurm_script(plan: Plan, program: Sequence[str]) -> tuple[Exported, ...]:
    """A script for `sbatch run-instances.sbatch PROGRAM ...` on one whole host.

    Tasks differ in their threads and names, so a case on SLURM_PROCID sets each one's environment. Policies that srun
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
        *usage_check(program),
        f"exec srun --ntasks={len(chosen)} --kill-on-bad-exit=1 --label \\",
        "    --cpu-bind=mask_cpu:" + ",".join(_mask(instance.cpus) for instance in chosen) + " \\",
        f"    {_memory_bind(chosen)} \\",
        "    bash -c " + shlex.quote(_task(plan, chosen)) + f" ipexlaunch-task {program_words(program)}",
    ]
    return (Exported("run-instances.sbatch", "\n".join(lines) + "\n", executable=True),)


def _memory_bind(instances: Sequence[Instance]) -> str:
    policies = {instance.memory for instance in instances}
    if len(policies) == 1 and (policy := next(iter(policies))) in MEMORY_BINDS:
        masks = ",".join(_mask(instance.nodes) for instance in instances)
        return f"--mem-bind={MEMORY_BINDS[policy]}mask_mem:{masks}"
    return "--mem-bind=none"


def _task(plan: Plan, instances: Sequence[Instance]) -> str:
    """The shell program of every task: its environment by its number, then the real program."""
    by_numactl = _memory_bind(instances) == "--mem-bind=none"
    lines = ['case "$SLURM_PROCID" in']
    for number, instance in enumerate(instances):
        sets = " ".join(f"{k}={shlex.quote(v)}" for k, v in environment(instance, len(plan.instances)).items())
        words = shlex.join(memory_words(instance)) if by_numactl else ""
        lines.append(f"{number}) export {sets}; bind='{words}' ;;")
    return "\n".join([*lines, "esac", 'exec $bind "$@"'])


def _mask(ids: Iterable[int]) -> str:
    return hex(sum(1 << number for number in ids))
