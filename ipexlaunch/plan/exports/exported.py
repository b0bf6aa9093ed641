"""Exported: one file of an export, and what all exports share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ipexlaunch.cpulist import format_list
from ipexlaunch.errors import RequestError
from ipexlaunch.plan.devices import device_variables
from ipexlaunch.plan.instances import Instance, Plan
from ipexlaunch.secret_values import shell_line


@dataclass(frozen=True, slots=True)
class Exported:
    """One file."""

    name: str
    text: str
    executable: bool = False


def environment(instance: Instance, count: int) -> Mapping[str, str]:
    """What every worker is told about itself, as `ipexlaunch run` tells it."""
    return {
        "OMP_NUM_THREADS": str(instance.threads),
        "IPEXLAUNCH_INDEX": str(instance.index),
        "IPEXLAUNCH_COUNT": str(count),
        "IPEXLAUNCH_CPUS": format_list(instance.cpus),
        "IPEXLAUNCH_NODES": format_list(instance.nodes),
        **_of_accelerator(instance),
    }


def _of_accelerator(instance: Instance) -> Mapping[str, str]:
    if not instance.accelerator:
        return {}
    return {"IPEXLAUNCH_ACCELERATOR": instance.accelerator, **device_variables(instance.accelerator)}


def refuse_accelerators(plan: Plan, what: str) -> None:
    """Refuse a plan by accelerator where the variables that number them would not mean the same.

    Args:
        plan: to be exported.
        what: the tool.

    Raises:
        RequestError: its instances drive accelerators.
    """
    if plan.request.device is not None:
        raise RequestError(
            f"export a plan for --device {plan.request.device} to {what}",
            "a container numbers the accelerators that it is given anew",
            "export to numactl, systemd or slurm, or give each container its own (--gpus, --device)",
        )


def assignments(instance: Instance, count: int) -> list[str]:
    """The same as NAME=VALUE words."""
    return [f"{name}={value}" for name, value in environment(instance, count).items()]


def program_words(program: Sequence[str]) -> str:
    """The program as shell words, or "$@" where whoever runs the script gives it."""
    return shell_line(program) if program else '"$@"'


def headline(plan: Plan) -> str:
    """What the file is, for its first comment."""
    return f"{len(plan.chosen)} of {len(plan.instances)} instances planned by ipexlaunch for machine {plan.topology}"


def usage_check(program: Sequence[str], what: str = "PROGRAM [ARGUMENT...]") -> list[str]:
    """Shell lines that refuse to run without a program, where the script leaves it to its caller."""
    if program:
        return []
    return ["if [ $# -eq 0 ]; then", f'    echo "usage: $0 {what}" >&2', "    exit 2", "fi"]
