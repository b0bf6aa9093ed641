"""Containers: docker run lines with cpusets.

Source: docker-run(1).

A plan in the words of other tools: some start the workers themselves, engines of several hosts start ipexlaunch.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.plan.export_kubernetes import kubernetes_manifest
from ipexlaunch.plan.export_scripts import (
    ExportFile,
    Workload,
    headline,
    numactl_script,
    refuse_accelerators,
    text_of,
    usage_check,
)
from ipexlaunch.plan.export_slurm import launch_script
from ipexlaunch.plan.export_systemd import service_unit, systemd_units
from ipexlaunch.plan.own_launch import SERVE, OwnLaunch
from ipexlaunch.plan.plan import Instance, Plan


def docker_script(plan: Plan, work: Workload) -> tuple[ExportFile, ...]:
    """A script that starts one container for each instance; the program is the image, with its command.

    --cpuset-mems binds memory without CAP_SYS_NICE, which set_mempolicy would need inside the container.

    Raises:
        RequestError: the instances drive accelerators.
    """
    refuse_accelerators(plan, "docker")
    lines = ["#!/bin/sh", f"# {headline(plan)}", *usage_check(work.program, "IMAGE [COMMAND...]"), "set -e"]
    for instance in plan.chosen:
        line = f"{shlex.join(_docker_words(plan, instance, work))} {work.shell_words(plan, instance)}"
        fill = work.fill_arguments(plan, instance)
        lines.append(f"(\n{fill}\n{line}\n)" if fill else line)
    return (ExportFile("run-containers.sh", text_of(lines), executable=True),)


def _docker_words(plan: Plan, instance: Instance, work: Workload) -> list[str]:
    words = ["docker", "run", "--detach", "--name", f"ipexlaunch-{instance.index}"]
    words.append(f"--cpuset-cpus={format_list(instance.cpus)}")
    if instance.nodes and instance.memory not in ("none", "local"):
        words.append(f"--cpuset-mems={format_list(instance.nodes)}")
    for assignment in work.assignments(plan, instance):
        words += ["--env", assignment]
    return words


__all__ = ["EXPORTS", "ExportFile", "Workload", "export_plan"]

_WRITERS: dict[str, Callable[[Plan, Workload], tuple[ExportFile, ...]]] = {
    "numactl": numactl_script,
    "systemd": systemd_units,
    "docker": docker_script,
}
"""Whose tool starts the workers."""

EXPORTS = ("numactl", "systemd", "slurm", "docker", "kubernetes")


def export_plan(kind: str, plan: Plan, work: Workload, launch: OwnLaunch) -> tuple[ExportFile, ...]:
    """The files that make another tool start the plan's instances.

    Args:
        kind: one of EXPORTS.
        plan: the instances; only the chosen ones (--instance-idx) are written.
        work: what each runs, where the tool starts the workers.
        launch: the same, where the tool starts ipexlaunch, as systemd does for `serve`.

    Raises:
        RequestError: this kind needs the program, or cannot give each instance what the program's words ask for.
    """
    if kind == "slurm":
        text = launch_script(launch, headline(plan), usage_check(launch.program))
        return (ExportFile("run-instances.sbatch", text, executable=True),)
    if kind == "kubernetes":
        return kubernetes_manifest(plan, launch)
    if kind == "systemd" and launch.command == SERVE:
        return service_unit(plan, launch)
    return _WRITERS[kind](plan, work)
