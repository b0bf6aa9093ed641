"""The words with which numactl gives an instance's binding to a program."""

from __future__ import annotations

import shlex

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.plan.devices import device_variables
from ipexlaunch.plan.plan import Instance, Plan

_OPTIONS = {
    "bind": "--membind",
    "preferred-many": "--preferred-many",
    "interleave": "--interleave",
    "weighted-interleave": "--weighted-interleave",
}


def numactl_words(instance: Instance) -> list[str]:
    """The command that binds what follows it: numactl, or taskset where the machine has no nodes to name.

    Source: numactl(8) 2.0.16 (2.0.19 for --weighted-interleave), taskset(1).
    """
    cpus = format_list(instance.cpus)
    if not instance.nodes:
        return ["taskset", "-c", cpus]
    return ["numactl", f"--physcpubind={cpus}", *_memory_options(instance)]


def memory_argv(instance: Instance) -> list[str]:
    """The command that sets the memory policy alone; nothing where there is none to set."""
    options = _memory_options(instance)
    return ["numactl", *options] if options else []


def _memory_options(instance: Instance) -> list[str]:
    if not instance.nodes:
        return []
    if instance.memory == "local":
        return ["--localalloc"]
    if instance.memory == "preferred":
        return [f"--preferred={min(instance.nodes)}"]
    if instance.memory in _OPTIONS:
        return [f"{_OPTIONS[instance.memory]}={format_list(instance.nodes)}"]
    return []


def numactl_lines(plan: Plan) -> list[str]:
    """One line for each instance to start; the program is to be written behind it."""
    return [shlex.join(["env", *_variables(instance), *numactl_words(instance)]) for instance in plan.chosen]


def _variables(instance: Instance) -> list[str]:
    variables = {"OMP_NUM_THREADS": str(instance.threads)}
    if instance.accelerator:
        variables |= device_variables(instance.accelerator)
    return [f"{name}={value}" for name, value in variables.items()]
