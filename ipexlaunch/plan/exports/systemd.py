"""systemd units: a target, a slice that holds the plan's cpus, and one service for each instance.

Source: systemd.exec(5) for NUMAPolicy, NUMAMask and CPUAffinity; systemd.resource-control(5) for AllowedCPUs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ipexlaunch.cpulist import format_list
from ipexlaunch.errors import RequestError
from ipexlaunch.plan.exports.exported import Exported, environment, headline
from ipexlaunch.plan.instances import Instance, Plan

NAME = "ipexlaunch"

_POLICIES = {"bind": "bind", "preferred": "preferred", "interleave": "interleave", "local": "local"}
_NEAREST = {"preferred-many": "preferred", "weighted-interleave": "interleave"}
"""systemd 252 has no word for these."""


def systemd_units(plan: Plan, program: Sequence[str]) -> tuple[Exported, ...]:
    """Units to copy into /etc/systemd/system; `systemctl start ipexlaunch.target` starts every instance.

    Raises:
        RequestError: no program, or one without its whole path.
    """
    if not program or not program[0].startswith("/"):
        given = f"the program is {program[0]!r}" if program else "no program is given"
        hint = "write it behind the options: -- /usr/bin/python3 /srv/script.py"
        raise RequestError("export systemd units", f"{given}, and a unit needs its whole path", hint)
    services = [f"{NAME}-{instance.index}.service" for instance in plan.chosen]
    cpus = frozenset().union(*(instance.cpus for instance in plan.chosen))
    nodes = frozenset().union(*(instance.nodes for instance in plan.chosen))
    target = [f"# {headline(plan)}", "[Unit]", f"Description=Instances of {program[0]}"]
    target += [f"Wants={service}" for service in services]
    limits = ["[Slice]", f"AllowedCPUs={_spaced(cpus)}"]
    limits += [f"AllowedMemoryNodes={_spaced(nodes)}"] if nodes else []
    return (
        Exported(f"{NAME}.target", _text(target)),
        Exported(f"{NAME}.slice", _text(["[Unit]", "Description=Cpus and memory of the instances", "", *limits])),
        *(
            Exported(service, _text(_service(plan, instance, program)))
            for service, instance in zip(services, plan.chosen, strict=True)
        ),
    )


def _service(plan: Plan, instance: Instance, program: Sequence[str]) -> list[str]:
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
    lines += [f'Environment="{name}={value}"' for name, value in environment(instance, len(plan.instances)).items()]
    return [*lines, "ExecStart=" + " ".join(_escaped(word) for word in program)]


def _spaced(ids: Iterable[int]) -> str:
    return format_list(ids).replace(",", " ")


def _escaped(word: str) -> str:
    """One word of ExecStart: specifiers, variables and quotes lose their meaning (systemd.service(5))."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$").replace("\n", "\\n")
    return text if text and not set(text) & set(" \t;'\"\\") else f'"{text}"'


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
