"""Each drawing of some machines, compared with a file that a reviewer can read.

After a change on purpose: IPEXLAUNCH_UPDATE_GOLDEN=1 pytest tests/machine/pictures/test_golden.py,
then read the differences.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ipexlaunch.machine.cpulist import parse_list
from ipexlaunch.machine.pictures.drawing import machine_drawing
from ipexlaunch.machine.pictures.table import machine_table, machine_tree
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Instance, Plan, Request
from ipexlaunch.plan.planner import plan_table

GOLDEN = Path(__file__).parent / "golden"
MACHINES = {
    "one-cpu": "vm-1s-1n-1c-1t",
    "small": "2s 2n 4c 2t",
    "two-sockets": "2s 1n 28c 2t",
    "epyc": "epyc-milan-2s-1n-64c-2t",
    "unequal-nodes": "xeon-gnr-2s-3n-43+43+42c-2t",
    "eight-sockets": "xeon-spr-8s-1n-60c-2t",
    "hybrid": "core-mtl-1s-1n-6p+10e-2t",
    "memory-only": "xeon-max-2s-1n-52c-2t-hbm-flat",
    "memoryless": "threadripper-1s-4n-8c-2t-memoryless",
    "sparse": "power9-2s-1n-22c-4t-gpu-memory",
    "offline": "xeon-icx-2s-1n-8c-2t-uneven-siblings",
    "cpuset": "xeon-icx-2s-1n-32c-2t-cpuset",
    "many-sockets": "vm-32s-1c-1t",
    "no-nodes": "arm-1s-4c-1t-no-nodes",
}
INSTANCES = {
    "two-sockets": ("0-13", "14-27", "28-41", "42-55"),
    "epyc": tuple(f"{start}-{start + 15}" for start in range(0, 128, 16)),
    "hybrid": ("0-5", "6-11"),
    "offline": ("0-3", "8-11,24-27"),
    "cpuset": ("4-11", "36-43"),
    "many-sockets": ("0-15", "16-31"),
}


def assignment_of(name: str) -> Mapping[int, int]:
    return {cpu: index for index, cpus in enumerate(INSTANCES[name]) for cpu in parse_list(cpus)}


def check(path: Path, text: str) -> None:
    if os.environ.get("IPEXLAUNCH_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MACHINES)
def test_the_drawing_of_a_machine_is_the_one_in_its_file(name: str) -> None:
    check(GOLDEN / f"{name}.drawing.txt", machine_drawing(open_topology(MACHINES[name])))


@pytest.mark.parametrize("name", INSTANCES)
def test_the_drawing_of_a_plan_is_the_one_in_its_file(name: str) -> None:
    drawing = machine_drawing(open_topology(MACHINES[name]), assignment_of(name))
    check(GOLDEN / f"{name}.plan.txt", drawing)


@pytest.mark.parametrize("draw", [machine_table, machine_tree], ids=["table", "tree"])
def test_the_tables_and_trees_of_the_machines_are_those_in_their_file(draw: Callable[..., str]) -> None:
    texts = [f"# {source}\n\n{draw(open_topology(source))}" for source in MACHINES.values()]
    check(GOLDEN / f"{draw.__name__}.txt", "\n\n".join(texts))


def test_a_table_for_a_terminal_of_eighty_columns_is_the_one_in_its_file() -> None:
    texts = [f"# {MACHINES[name]}\n\n{machine_table(open_topology(MACHINES[name]), width=80)}" for name in MACHINES]
    texts.append(machine_table(open_topology("xeon-clx-2s-1n-20c-2t-interleaved"), width=80))
    check(GOLDEN / "machine_table_80.txt", "\n\n".join(texts))


def plan_of(topology: Topology, name: str) -> Plan:
    sets = [parse_list(cpus) for cpus in INSTANCES[name]]
    instances = tuple(
        Instance(
            index=index,
            cpus=cpus,
            nodes=frozenset(node for cpu in cpus if (node := topology.by_cpu[cpu].node) is not None),
            threads=len(cpus),
        )
        for index, cpus in enumerate(sets)
    )
    idle = topology.allowed_cpus.difference(*sets)
    return Plan(topology=topology.fingerprint, request=Request(), instances=instances, idle_cpus=idle)


@pytest.mark.parametrize("width", [100, 60])
def test_the_tables_of_plans_are_those_in_their_file(width: int) -> None:
    texts = []
    for name in INSTANCES:
        topology = open_topology(MACHINES[name])
        plan = plan_of(topology, name)
        texts += [f"# {name}\n\n{plan_table(plan, topology, width=width)}", plan_table(plan, width=width)]
    check(GOLDEN / f"plan_table_{width}.txt", "\n\n".join(texts))
