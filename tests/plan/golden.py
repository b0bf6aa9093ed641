"""The plans of every shipped machine for six requests, as files that a reviewer can read: one line per instance.

`python -m tests.plan.golden` writes tests/plan/golden/*.txt anew; read the difference before committing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ipexlaunch.cli.options.plan_options import plan_options, request_from_options
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.probe.sources import shipped_machines
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Plan, Request, make_plan

FOLDER = Path(__file__).with_name("golden")

REQUESTS = (
    "",
    "--ninstances 3",
    "--ninstances 1 --use-logical-cores --use-e-cores --memory all",
    "--ncores-per-instance 6 --reserve-cores 1",
    "--goal throughput",
    "--ninstances 5 --greedy",
)


def request_of(words: Sequence[str]) -> Request:
    """The request that these command-line words make."""
    found: list[Request] = []

    @click.command(context_settings={"token_normalize_func": lambda token: token.replace("_", "-")})
    @plan_options
    def command(**options: object) -> None:
        found.append(request_from_options(options))

    command.main(list(words), standalone_mode=False)
    return found[0]


def golden_text(name: str) -> str:
    """The whole file of one machine."""
    topology = open_topology(name)
    parts = [f"machine {name}: {topology.about.strip().splitlines()[0] if topology.about else ''}".rstrip(": ")]
    for words in REQUESTS:
        parts.append(f"\nplan {words}".rstrip())
        try:
            parts += _lines(topology, make_plan(topology, request_of(words.split())))
        except IpexLaunchError as error:
            parts.append(f"  error: {error}")
    return "\n".join(parts) + "\n"


def _lines(topology: Topology, plan: Plan) -> list[str]:
    lines = []
    for instance in plan.instances:
        cpus = [topology.by_cpu[cpu] for cpu in instance.cpus]
        nodes = format_list(cpu.node for cpu in cpus if cpu.node is not None)
        cores = len({cpu.core for cpu in cpus})
        place = f"node {nodes}" if nodes else "no node"
        memory = f"{instance.memory} {format_list(instance.nodes)}".strip()
        lines.append(
            f"  {instance.index:>3}: {place}, {cores} cores, cpus {format_list(instance.cpus)}, memory {memory}"
        )
    return [*lines, f"  idle: {format_list(plan.idle_cpus) or 'none'}"]


def main() -> None:
    """Write every file, and remove those of machines that are gone."""
    FOLDER.mkdir(exist_ok=True)
    names = shipped_machines()
    for name in names:
        (FOLDER / f"{name}.txt").write_text(golden_text(name), encoding="utf-8")
    for path in FOLDER.glob("*.txt"):
        if path.stem not in names:
            path.unlink()


if __name__ == "__main__":
    main()
