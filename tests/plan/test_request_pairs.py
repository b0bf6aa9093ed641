"""No option of the planner is silently ignored: it changes some plan beside every other one, or the pair is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from ipexlaunch.cli.options.option_table import LOOSE, RULES, UNBOUND
from ipexlaunch.errors import IpexLaunchError, RequestError
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.topology import Accelerator, Topology
from ipexlaunch.plan import Request, make_plan
from tests.plan.machines import machine


def with_cards(topology: Topology, *nodes: int) -> Topology:
    found = [
        Accelerator(address=f"0000:{at:02x}:00.0", vendor="intel", device="0x0bd5", node=n)
        for at, n in enumerate(nodes)
    ]
    return replace(topology, accelerators=tuple(found))


HYBRID = open_topology("core-rpl-1s-1n-8p+16e-2t")

MACHINES = (
    with_cards(machine([8, 8], threads=2, l3_cores=4), 0, 0, 1, 1),
    with_cards(machine([6, 10, 4, 3], threads=2, memory=[8, 64, 8, 3], sockets=2, l3_cores=3), 0, 1, 2),
    with_cards(HYBRID, 0, 0),
    open_topology("xeon-max-2s-1n-52c-2t-hbm-flat"),
    machine([12, 4]),
)

VALUES: dict[str, list[Any]] = {
    "ninstances": [1, 2, 3, 5],
    "ncores_per_instance": [1, 3, 4, -1, "auto"],
    "cores_list": ["0-5", "0-3,9", "0-3|8-11", "!0"],
    "nodes_list": ["0", "1", "!0"],
    "use_logical_cores": [True],
    "use_e_cores": [True],
    "goal": ["throughput", "latency"],
    "latency_mode": [True],
    "throughput_mode": [True],
    "strategy": ["close", "scatter"],
    "scope": ["l3", "node", "socket", "machine"],
    "greedy": [True],
    "groups": [("1x2",), ("1x3@node1", "2x1"), ("1x12",), ("2x1",)],
    "reserve_cores": [1, 2],
    "memory_per_instance_bytes": [size << 30 for size in (1, 5, 30, 40, 100)],
    "memory": ["hbm", "dram", "all"],
    "memory_policy": ["preferred", "interleave", "local", "none"],
    "device": ["xpu"],
    "accelerators": ["0", "1", "0-2"],
    "instance_idx": ["0", "1"],
}

BESIDE: tuple[dict[str, Any], ...] = (
    {}, {"ninstances": 1}, {"ninstances": 2}, {"ninstances": 3}, {"ninstances": 2, "ncores_per_instance": 1},
)  # fmt: skip
"""What else is asked for: a strategy, say, decides nothing where every core is used."""

SAME = {
    ("ncores_per_instance", "goal"): "the goal's size is auto",
    ("ncores_per_instance", "latency_mode"): "4 is that mode's size",
    ("latency_mode", "ncores_per_instance"): "4 is that mode's size",
    ("ncores_per_instance", "greedy"): "-1 is greedy",
    ("greedy", "ncores_per_instance"): "-1 is greedy",
    ("scope", "groups"): "node is what they keep to",
    ("scope", "device"): "node is what it keeps to",
    ("scope", "accelerators"): "node is what they keep to",
    ("device", "accelerators"): "they need it",
}
"""Pairs of which one says what follows from the other: nothing that was asked for is left undone."""


@cache
def allowed(asked: frozenset[tuple[str, Any]]) -> bool:
    try:
        Request(**dict(asked)).check()
    except RequestError:
        return False
    return True


@cache
def outcome(place: int, asked: frozenset[tuple[str, Any]]) -> object:
    try:
        plan = make_plan(MACHINES[place], Request(**dict(asked)))
    except IpexLaunchError as error:
        return str(error)
    return plan.chosen, plan.idle_cpus


def tries(name: str, other: str | None) -> Iterator[tuple[frozenset[tuple[str, Any]], frozenset[tuple[str, Any]]]]:
    """What is asked for without the option and with it, both allowed."""
    others = [{}] if other is None else [{other: value} for value in VALUES[other]]
    for beside, given, value in itertools.product(BESIDE, others, VALUES[name]):
        if name in beside or other in beside:
            continue
        without = {**beside, **({"device": "xpu"} if "accelerators" in (name, other) else {}), **given}
        before, after = frozenset(without.items()), frozenset({**without, name: value}.items())
        if allowed(before) and allowed(after):
            yield before, after


def changes_something(name: str, other: str | None = None) -> bool | None:
    """None where every such pair is refused."""
    found = None
    for before, after in tries(name, other):
        found = False
        for place in range(len(MACHINES)):
            outcomes = {outcome(place, before), outcome(place, after)}
            if len(outcomes) > 1 and not all(isinstance(each, str) for each in outcomes):
                return True
    return found


@pytest.mark.parametrize("name", VALUES)
def test_every_option_changes_some_plan_beside_every_other_one_or_is_refused(name: str) -> None:
    assert changes_something(name)
    ignored = [other for other in VALUES if other != name and changes_something(name, other) is False]
    assert [other for other in ignored if (name, other) not in SAME] == []
    assert [pair for pair in SAME if pair[0] == name and pair[1] not in ignored] == []


def test_what_keeps_instances_inside_nodes_is_what_happens_anyway_or_is_refused() -> None:
    for name, values in VALUES.items():
        for value in values:
            before = {name: value, **({"device": "xpu"} if name == "accelerators" else {})}
            after = frozenset({**before, "bind_numa_node": True}.items())
            if allowed(after):
                for place in range(len(MACHINES)):
                    assert outcome(place, after) == outcome(place, frozenset(before.items()))
    assert not allowed(frozenset({"bind_numa_node": True, "scope": "machine"}.items()))


def test_what_says_only_which_cpus_or_memory_is_refused_where_nothing_is_bound() -> None:
    def threads(place: int, asked: frozenset[tuple[str, Any]]) -> object:
        found = outcome(place, asked)
        return [(each.index, each.threads, each.accelerator) for each in found[0]] if isinstance(found, tuple) else None

    def decides(name: str) -> bool:
        pairs = ((threads(n, one), threads(n, two)) for one, two in tries(name, None) for n in range(len(MACHINES)))
        return any(one != two for one, two in pairs if one and two)

    refused = {name for rule in RULES if {*LOOSE, *UNBOUND} & {*rule.excludes} for name in rule.options}
    assert {name for name in VALUES if not decides(name)} == refused & VALUES.keys()
