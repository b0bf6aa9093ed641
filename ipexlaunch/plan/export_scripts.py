"""One file of an export, and what all exports share.

The words with which numactl gives an instance's binding to a program.

A shell script: one line per instance with numactl.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ipexlaunch.errors import RequestError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.devices import device_variables
from ipexlaunch.plan.plan import FIRST_PORT, Instance, Plan, fill_template, values_of


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file."""

    name: str
    text: str
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What every instance is to run; `{index}` and its kind stand for the instance's own, as in `ipexlaunch run`."""

    program: tuple[str, ...] = ()
    """The program and its arguments; empty leaves that to whoever runs a script ("$@")."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of --env, which win over ours."""
    first_port: int = FIRST_PORT

    def values(self, plan: Plan, instance: Instance) -> dict[str, str]:
        """What `{index}` and its kind stand for."""
        return values_of(instance, len(plan.instances), self.first_port)

    def words(self, plan: Plan, instance: Instance) -> tuple[str, ...]:
        """The program's words for one instance."""
        return tuple(fill_template(word, self.values(plan, instance)) for word in self.program)

    def environment(self, plan: Plan, instance: Instance) -> dict[str, str]:
        """The variables of one instance's worker, as `ipexlaunch run` gives them."""
        accelerator = instance.accelerator
        return {
            "OMP_NUM_THREADS": str(instance.threads),
            "IPEXLAUNCH_INDEX": str(instance.index),
            "IPEXLAUNCH_COUNT": str(len(plan.instances)),
            "IPEXLAUNCH_CPUS": format_list(instance.cpus),
            "IPEXLAUNCH_NODES": format_list(instance.nodes),
            **({"IPEXLAUNCH_ACCELERATOR": accelerator, **device_variables(accelerator)} if accelerator else {}),
            **{name: fill_template(text, self.values(plan, instance)) for name, text in self.variables.items()},
        }

    def assignments(self, plan: Plan, instance: Instance) -> list[str]:
        """The same as NAME=VALUE words."""
        return [f"{name}={value}" for name, value in self.environment(plan, instance).items()]

    def shell_words(self, plan: Plan, instance: Instance) -> str:
        """The program as shell words, or "$@" where whoever runs the script gives it."""
        return shlex.join(self.words(plan, instance)) if self.program else '"$@"'

    def fill_arguments(self, plan: Plan, instance: Instance) -> str:
        """Shell text that fills the templates in the positional parameters; "" where the program is written already."""
        return "" if self.program else fill_in_shell(self.values(plan, instance))


def fill_in_shell(values: Mapping[str, str]) -> str:
    """POSIX shell text that replaces `{index}` and its kind in "$@", as `fill_template` does.

    The full stop keeps line feeds at the end of a word, which $(...) would drop.

    Args:
        values: what each name stands for; digits, commas and hyphens.
    """
    rules = []
    for name, value in values.items():
        rules += [f"s/{{{{{name}}}}}/{{:{name}:}}/g", f"s/{{{name}}}/{value}/g", f"s/{{:{name}:}}/{{{name}}}/g"]
    script = "; ".join(rules)
    filled = f"""word=$(printf '%s.' "$word" | sed '{script}'); set -- "$@" "${{word%.}}\""""
    return f"for word do shift; {filled}; done"


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
            "a container numbers its accelerators from 0",
            "export to numactl, systemd or slurm, or give each container its own (--gpus, --device)",
        )


def headline(plan: Plan) -> str:
    """What the file is, for its first comment."""
    some = f"{len(plan.chosen)} of {counted(len(plan.instances), 'instance')}"
    return f"{some} planned by ipexlaunch for machine {plan.topology}"


def text_of(lines: Iterable[str]) -> str:
    """Lines as a text file."""
    return "\n".join(lines) + "\n"


def usage_check(program: Sequence[str], what: str = "PROGRAM [ARGUMENT...]") -> list[str]:
    """Shell lines that refuse to run without a program, where the script leaves it to its caller."""
    if program:
        return []
    return ["if [ $# -eq 0 ]; then", f'    echo "usage: $0 {what}" >&2', "    exit 2", "fi"]


_OPTIONS = {
    "bind": "--membind",
    "preferred-many": "--preferred-many",
    "interleave": "--interleave",
    "weighted-interleave": "--weighted-interleave",
}


def numactl_argv(instance: Instance) -> list[str]:
    """The command that binds what follows it: numactl, or taskset where the machine has no nodes to name.

    Source: numactl(8) 2.0.16 (2.0.19 for --weighted-interleave), taskset(1).
    """
    cpus = format_list(instance.cpus)
    if not instance.nodes:
        return ["taskset", "-c", cpus]
    return ["numactl", f"--physcpubind={cpus}", *_memory_options(instance)]


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
    return [shlex.join(["env", *_variables(instance), *numactl_argv(instance)]) for instance in plan.chosen]


def _variables(instance: Instance) -> list[str]:
    variables = {"OMP_NUM_THREADS": str(instance.threads)}
    if instance.accelerator:
        variables |= device_variables(instance.accelerator)
    return [f"{name}={value}" for name, value in variables.items()]


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
    words = shlex.join(["env", *work.assignments(plan, instance), *numactl_argv(instance)])
    fill = work.fill_arguments(plan, instance)
    line = f"{words} {work.shell_words(plan, instance)}"
    return f"(\n{fill}\nexec {line}\n)" if fill else line
