"""The planner's promises on machines and requests that nobody thought of; the checks here do not use check_plan.

IPEXLAUNCH_EXAMPLES=20000 pytest tests/plan/test_promises.py is the long run.
"""

from __future__ import annotations

import os
from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.machine.cpulist import parse_list
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Plan, Request, check_plan, make_plan
from tests.plan.requests import bigger, requests
from tests.strategies import topologies

EXAMPLES = int(os.environ.get("IPEXLAUNCH_EXAMPLES", "250"))
SETTINGS = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def plan_or_none(topology: Topology, request: Request) -> Plan | None:
    try:
        return make_plan(topology, request)
    except IpexLaunchError:
        return None


@SETTINGS
@given(st.data())
def test_every_promise_holds(data: st.DataObject) -> None:
    topology = data.draw(topologies())
    request = data.draw(requests(topology))
    plan = plan_or_none(topology, request)
    if plan is None:
        return
    check_plan(topology, plan)
    by_cpu = topology.by_cpu
    allowed = topology.allowed_cpus & by_cpu.keys()
    used: set[int] = set()
    cores: set[int] = set()
    shapes = set()
    for index, instance in enumerate(plan.instances):
        own = {by_cpu[cpu].core for cpu in instance.cpus}
        assert instance.index == index
        assert instance.cpus
        assert instance.cpus <= allowed
        assert not instance.cpus & used
        assert not own & cores  # whole cores: none serves two
        assert request.use_logical_cores or len(own) == len(instance.cpus)
        assert instance.threads == len(instance.cpus)
        used |= instance.cpus
        cores |= own
        shapes.add((len(own), len(instance.cpus)))
    assert plan.idle_cpus == allowed - used
    if request.ninstances is not None:
        assert len(plan.instances) == request.ninstances
    if isinstance(request.ncores_per_instance, int) and request.ncores_per_instance > 0:
        assert {size for size, _ in shapes} == {request.ncores_per_instance}
    if not request.unequal:
        assert len(shapes) == 1
    if request.cores_list is not None:
        assert used <= parse_list(request.cores_list)
    if request.nodes_list is not None:
        assert {by_cpu[cpu].node for cpu in used} <= parse_list(request.nodes_list)
    if not request.use_e_cores and request.cores_list is None and any(by_cpu[c].kind == "performance" for c in allowed):
        fast = {c for c in allowed if by_cpu[c].kind != "efficiency"}
        if request.nodes_list is None:
            assert used <= fast
    _check_nodes(topology, request, plan)


def _check_nodes(topology: Topology, request: Request, plan: Plan) -> None:
    by_cpu = topology.by_cpu
    spans = [{by_cpu[cpu].node for cpu in instance.cpus} for instance in plan.instances]
    usable = {by_cpu[cpu].node for cpu in topology.allowed_cpus & by_cpu.keys()}
    if request.scope not in ("socket", "machine"):
        if len(spans) >= len(usable):
            assert all(len(span) == 1 for span in spans)
        for i, span in enumerate(spans):
            if len(span) > 1:  # whole nodes: none of them is shared
                assert not any(span & other for j, other in enumerate(spans) if j != i)
    if not topology.nodes:
        assert not any(instance.nodes for instance in plan.instances)
        return
    memory = {node.id: node.memory_bytes for node in topology.nodes}
    for instance, span in zip(plan.instances, spans, strict=True):
        assert instance.nodes
        assert instance.nodes <= topology.allowed_nodes
        assert all(memory[node] for node in instance.nodes)
        if request.memory is None:
            for node in span:
                assert node is not None
                nearest = [n for n in memory if memory[n] and n in topology.allowed_nodes]
                if node in nearest:
                    assert node in instance.nodes
                else:
                    reach = topology.by_node[node].distances
                    best = min(reach.get(n, 255) for n in nearest)
                    assert any(reach.get(n, 255) == best for n in instance.nodes)
    if request.memory_per_instance_bytes is not None:
        total = sum(memory[node] for node in frozenset().union(*(i.nodes for i in plan.instances)))
        assert total >= request.memory_per_instance_bytes * len(plan.instances)


@SETTINGS
@given(st.data())
def test_success_never_turns_to_failure_on_a_bigger_machine(data: st.DataObject) -> None:
    topology = data.draw(topologies())
    request = replace(data.draw(requests(topology)), memory_per_instance_bytes=None, memory=None)
    small = plan_or_none(topology, request)
    assume(small is not None)
    larger = data.draw(bigger(topology))
    make_plan(larger, request)


@SETTINGS
@given(st.data())
def test_shuffled_input_gives_the_same_plan(data: st.DataObject) -> None:
    topology = data.draw(topologies())
    request = data.draw(requests(topology))
    shuffled = replace(
        topology,
        cpus=tuple(data.draw(st.permutations(topology.cpus))),
        nodes=tuple(
            replace(node, distances=dict(reversed(list(node.distances.items()))))
            for node in data.draw(st.permutations(topology.nodes))
        ),
    )
    assert plan_or_none(topology, request) == plan_or_none(shuffled, request)
