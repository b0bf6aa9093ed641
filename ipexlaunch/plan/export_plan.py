"""systemd units: a target, a slice that holds the plan's cpus, and one service for each instance.

Source: systemd.exec(5) for NUMAPolicy, NUMAMask and CPUAffinity; systemd.resource-control(5) for AllowedCPUs.

Containers: docker run lines with cpusets.

Source: docker-run(1).

A plan in the words of other tools: some start the workers themselves, engines of several hosts start ipexlaunch.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable

from ipexlaunch.errors import RequestError
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
from ipexlaunch.plan.own_launch import OwnLaunch
from ipexlaunch.plan.plan import Instance, Plan

NAME = "ipexlaunch"

_POLICIES = {"bind": "bind", "preferred": "preferred", "interleave": "interleave", "local": "local"}
_NEAREST = {"preferred-many": "preferred", "weighted-interleave": "interleave"}
"""systemd 252 has no word for these."""


def systemd_units(plan: Plan, work: Workload) -> tuple[ExportFile, ...]:
    """Units to copy into /etc/systemd/system; `systemctl start ipexlaunch.target` starts every instance.

    Raises:
        RequestError: no program, or one without its whole path.
    """
    program = work.program
    if not program or not program[0].startswith("/"):
        given = f"the program is {program[0]!r}" if program else "no program is given"
        hint = "write it behind the options: -- /usr/bin/python3 /srv/script.py"
        raise RequestError("export systemd units", f"{given}, and a unit needs its whole path", hint)
    services = [f"{NAME}-{instance.index}.service" for instance in plan.chosen]
    cpus = frozenset().union(*(instance.cpus for instance in plan.chosen))
    nodes = frozenset().union(*(instance.nodes for instance in plan.chosen))
    target = [f"# {headline(plan)}", "[Unit]", f"Description=Instances of {_specifiers(program[0])}"]
    target += [f"Wants={service}" for service in services]
    limits = ["[Slice]", f"AllowedCPUs={_spaced(cpus)}"]
    limits += [f"AllowedMemoryNodes={_spaced(nodes)}"] if nodes else []
    return (
        ExportFile(f"{NAME}.target", text_of(target)),
        ExportFile(f"{NAME}.slice", text_of(["[Unit]", "Description=Cpus and memory of the instances", "", *limits])),
        *(ExportFile(s, text_of(_service(plan, i, work))) for s, i in zip(services, plan.chosen, strict=True)),
    )


def _service(plan: Plan, instance: Instance, work: Workload) -> list[str]:
    lines = [
        "[Unit]",
        f"Description=Instance {instance.index} of {len(plan.instances)}",
        f"PartOf={NAME}.target",
        "",
        "[Service]",
        "Type=exec",
        f"Slice={NAME}.slice",
        f"AllowedCPUs={_spaced(instance.cpus)}",
        f"CPUAffinity={_spaced(instance.cpus)}",
    ]
    if instance.nodes and instance.memory != "none":
        if instance.memory in _NEAREST:
            lines.append(f"# the plan says {instance.memory}, which systemd has no word for")
        policy = _POLICIES.get(instance.memory) or _NEAREST[instance.memory]
        lines.append(f"NUMAPolicy={policy}")
        if policy != "local":
            nodes = {min(instance.nodes)} if policy == "preferred" else instance.nodes
            lines.append(f"NUMAMask={_spaced(nodes)}")
        if instance.memory == "bind":
            lines.append(f"AllowedMemoryNodes={_spaced(instance.nodes)}")
    lines += [f'Environment="{_in_quotes(assignment)}"' for assignment in work.assignments(plan, instance)]
    return [*lines, "ExecStart=" + " ".join(_escaped(word) for word in work.words(plan, instance))]


def _spaced(ids: Iterable[int]) -> str:
    return format_list(ids).replace(",", " ")


def _in_quotes(text: str) -> str:
    """A text between double quotes: backslashes, quotes and specifiers stand for themselves."""
    return _specifiers(text.replace("\\", "\\\\").replace('"', '\\"')).replace("\n", "\\n")


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _escaped(word: str) -> str:
    """One word of ExecStart: specifiers, variables and quotes lose their meaning (systemd.service(5))."""
    text = _in_quotes(word).replace("$", "$$")
    return text if text and not set(text) & set(" \t;'\"\\") else f'"{text}"'


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
        launch: the same, where the tool starts ipexlaunch.

    Raises:
        RequestError: this kind needs the program, or cannot give each instance what the program's words ask for.
    """
    if kind == "slurm":
        text = launch_script(launch, headline(plan), usage_check(launch.program))
        return (ExportFile("run-instances.sbatch", text, executable=True),)
    if kind == "kubernetes":
        return kubernetes_manifest(plan, launch)
    return _WRITERS[kind](plan, work)
