"""Plans by accelerator: each instance on cores of the node that its accelerator hangs on, and no other plan passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.cli.options.plan_options import visible_only
from ipexlaunch.errors import IpexLaunchError, PlanError, RequestError
from ipexlaunch.launch.job import Job, shell_line
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.machine.topology import Accelerator, Topology
from ipexlaunch.plan import Plan, Request, check_plan, make_plan
from ipexlaunch.plan.devices import device_variables
from ipexlaunch.plan.explain import explain_plan
from ipexlaunch.plan.export_plan import Workload, export_plan
from ipexlaunch.plan.export_scripts import numactl_lines
from ipexlaunch.plan.own_launch import OwnLaunch
from ipexlaunch.plan.plan_file import PlanFileError, read_checked_plan, read_plan, write_plan


def made(sentence: str, **asked: object) -> Plan:
    return make_plan(synthetic_machine(sentence), Request(**asked))  # type: ignore[arg-type]


def with_nodes(sentence: str, *nodes: int | None) -> Topology:
    """The machine of a sentence, with one Intel accelerator on each of these nodes."""
    found = tuple(
        Accelerator(address=f"0000:{0x10 + at:02x}:00.0", vendor="intel", device="0x0bd5", node=node)
        for at, node in enumerate(nodes)
    )
    return replace(synthetic_machine(sentence), accelerators=found)


def summary(plan: Plan, topology: Topology) -> list[tuple[str, set[int | None], int]]:
    return [
        (instance.accelerator, {topology.by_cpu[cpu].node for cpu in instance.cpus}, len(instance.cpus))
        for instance in plan.instances
    ]


SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(2, 9), st.integers(1, 2))


@given(SHAPES, st.integers(1, 9), st.integers(1, 3), st.booleans())
def test_equal_instances_on_the_accelerators_own_nodes_or_an_error(
    shape: tuple[int, int, int, int], accelerators: int, each: int, hidden: bool
) -> None:
    sockets, nodes, cores, threads = shape
    topology = synthetic_machine(f"{sockets}s {nodes}n {cores}c {threads}t {accelerators}xpu")
    if hidden:
        unknown = tuple(replace(found, node=None) for found in topology.accelerators)
        topology = replace(topology, accelerators=unknown)
    request = Request(device="xpu", ninstances=each * accelerators)
    if accelerators * each > nodes * sockets * cores:  # more than cores: it cannot fit, and nothing is promised
        with pytest.raises(PlanError, match="to plan with"):
            make_plan(topology, request)
        return
    try:
        plan = make_plan(topology, request)
    except PlanError:  # one node has more of them than cores
        return
    check_plan(topology, plan)
    assert [i.accelerator for i in plan.instances] == [f"xpu:{n}" for n in range(accelerators) for _ in range(each)]
    assert len({len(instance.cpus) for instance in plan.instances}) == 1
    for instance in plan.instances:
        (node,) = {topology.by_cpu[cpu].node for cpu in instance.cpus}
        own = topology.accelerators[int(instance.accelerator.partition(":")[2])].node
        assert own in (None, node)
        assert instance.nodes == frozenset({node})
    assert read_checked_plan(write_plan(plan), "plan.yaml", topology) == plan
    assert read_plan(write_plan(plan, as_json=True), "plan.json") == plan


def test_one_instance_for_each_where_nothing_else_is_asked() -> None:
    topology = with_nodes("2s 2n 8c", 3, 0, 0)
    plan = make_plan(topology, Request(device="xpu"))
    assert summary(plan, topology) == [("xpu:0", {3}, 4), ("xpu:1", {0}, 4), ("xpu:2", {0}, 4)]
    assert len(plan.idle_cpus) == 32 - 12


def test_fewer_instances_than_accelerators_are_spread_over_the_nodes() -> None:
    topology = with_nodes("2s 1n 8c", 0, 0, 1, 1)
    scattered = make_plan(topology, Request(device="xpu", ninstances=2))
    assert [instance.accelerator for instance in scattered.instances] == ["xpu:0", "xpu:2"]
    close = make_plan(topology, Request(device="xpu", ninstances=2, strategy="close"))
    assert summary(close, topology) == [("xpu:0", {0}, 4), ("xpu:1", {0}, 4)]


def test_a_node_without_cores_is_served_by_the_nearest() -> None:
    topology = with_nodes("2s 2n 4c", 1, 3)
    plan = make_plan(topology, Request(device="xpu", nodes_list="0,2"))
    assert summary(plan, topology) == [("xpu:0", {0}, 4), ("xpu:1", {2}, 4)]
    assert "xpu:0 is 0000:10:00.0, served by node 0, the nearest with cores to plan with; it hangs on node 1" in (
        explain_plan(topology, plan)
    )


def test_where_the_firmware_tells_no_node_they_are_dealt_out() -> None:
    topology = with_nodes("2s 1n 6c", None, 0, None)
    plan = make_plan(topology, Request(device="xpu"))
    assert summary(plan, topology) == [("xpu:0", {1}, 3), ("xpu:1", {0}, 3), ("xpu:2", {0}, 3)]
    assert any("the firmware does not tell where it hangs" in line for line in explain_plan(topology, plan))


def test_a_machine_without_nodes_serves_them_as_a_whole() -> None:
    topology = with_nodes("1s 6c", None, None)
    bare = replace(
        topology, nodes=(), allowed_nodes=frozenset(), cpus=tuple(replace(cpu, node=None) for cpu in topology.cpus)
    )
    assert summary(make_plan(bare, Request(device="xpu")), bare) == [("xpu:0", {None}, 3), ("xpu:1", {None}, 3)]


def test_kinds_are_counted_apart_and_chosen_by_number() -> None:
    plan = made("2s 8c 2xpu 4cuda", device="cuda", accelerators="1,3", ncores_per_instance=2)
    assert [instance.accelerator for instance in plan.instances] == ["cuda:1", "cuda:3"]
    assert [len(instance.cpus) for instance in plan.instances] == [2, 2]


REFUSED = [
    ("2s 8c", {"device": "xpu"}, "no Intel accelerator on this machine's PCI bus; leave out --device to use the cpus"),
    ("2s 8c 3cuda", {"device": "xpu"}, "but 3 of nvidia; use --device cuda"),
    ("2s 8c 3cuda", {"device": "cuda", "ninstances": 4}, "ask for 3 or 6"),
    ("2s 8c 3cuda", {"device": "cuda", "ncores_per_instance": 5}, "ask for 4 cores each"),
    ("1s 2c 3cuda", {"device": "cuda"}, "ask for fewer instances"),
    ("2s 8c 3cuda", {"device": "cuda", "accelerators": "3"}, "allowed accelerators are 0-2"),
    ("2s 8c 3cuda", {"accelerators": "1"}, "add --device xpu or --device cuda"),
    ("2s 8c 3cuda", {"device": "cuda", "goal": "latency"}, "leave out --device cuda or --goal latency"),
    ("2s 8c 3cuda", {"device": "cuda", "cores_list": "0-7|8-15"}, "--cores-list with '|'"),
    ("2s 8c 3cuda", {"device": "cuda", "scope": "socket"}, "--scope socket"),
    ("2s 8c 3cuda", {"device": "cuda", "greedy": True}, "--greedy"),
]


@pytest.mark.parametrize(("sentence", "asked", "words"), REFUSED, ids=[words for _, _, words in REFUSED])
def test_what_does_not_fit_is_an_error_that_says_what_would(
    sentence: str, asked: dict[str, object], words: str
) -> None:
    with pytest.raises(IpexLaunchError) as raised:
        made(sentence, **asked)
    assert words in str(raised.value)


def test_an_edited_plan_is_checked() -> None:
    topology = synthetic_machine("2s 8c 2xpu")
    text = write_plan(make_plan(topology, Request(device="xpu")))
    for old, new, words in (
        ("xpu:1", "xpu:7", "give xpu:7 to instance 1: there are xpu:0, xpu:1"),
        ("xpu:0", "xpu:1", "give xpu:1 to instance 0: node 1 serves it, and cpus are on node 0; take cpus of node 1"),
        (', accelerator: "xpu:1"', "", "give no accelerator to instance 1"),
        ("request: {device: xpu}", "request: {}", "the request asks for no device"),
    ):
        assert old in text
        with pytest.raises(PlanFileError) as raised:
            read_checked_plan(text.replace(old, new), "plan.yaml", topology)
        assert any(words in problem for problem in raised.value.problems), raised.value.problems
    with pytest.raises(IpexLaunchError, match="accelerator"):
        read_plan(text.replace("xpu:1", "gpu one"), "plan.yaml")


def test_every_worker_sees_its_own_accelerator_and_keeps_what_it_compiles() -> None:
    plan = made("2s 8c 2xpu", device="xpu")
    inherited = {"ZE_AFFINITY_MASK": "1,0", "SYCL_CACHE_DIR": "/theirs"}
    launch = make_launch(plan, Job(program="a.py", kernel_cache="/cache"), {})
    assert [worker.environment["ZE_AFFINITY_MASK"] for worker in launch.workers] == ["0", "1"]
    second = launch.workers[1].environment
    assert second["IPEXLAUNCH_ACCELERATOR"] == "xpu:1"
    assert second["SYCL_CACHE_PERSISTENT"] == second["ZE_ENABLE_PCI_ID_DEVICE_ORDER"] == "1"
    assert second["SYCL_CACHE_DIR"] == "/cache/sycl"
    assert "ZE_AFFINITY_MASK=1 " in shell_line(launch.workers[1])
    theirs = make_launch(plan, Job(program="a.py", kernel_cache="/cache"), inherited).workers[0].environment
    assert theirs["ZE_AFFINITY_MASK"] == "0"
    assert "SYCL_CACHE_DIR" not in theirs
    own = make_launch(plan, Job(program="a.py", environment={"ZE_AFFINITY_MASK": "0.1"}), {}).workers[0].environment
    assert own["ZE_AFFINITY_MASK"] == "0.1"
    cuda = make_launch(made("2s 8c 2cuda", device="cuda"), Job(program="a.py", kernel_cache="/cache"), {}).workers[1]
    assert {
        "CUDA_VISIBLE_DEVICES": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_CACHE_PATH": "/cache/cuda",
    }.items() <= (cuda.environment.items())


def test_a_plan_for_cpus_says_nothing_of_accelerators() -> None:
    plan = made("2s 8c 2xpu")
    environment = make_launch(plan, Job(program="a.py", kernel_cache="/cache"), {}).workers[0].environment
    assert not [name for name in environment if name.startswith(("ZE_", "SYCL_", "CUDA_")) or "ACCELERATOR" in name]
    assert "accelerator" not in write_plan(plan)
    assert device_variables("") == {}


def test_exports_carry_the_accelerator_where_numbers_mean_the_same() -> None:
    plan = made("2s 8c 2xpu", device="xpu")
    assert [line.split()[2] for line in numactl_lines(plan)] == ["ZE_AFFINITY_MASK=0", "ZE_AFFINITY_MASK=1"]
    for kind in ("numactl", "systemd"):
        work = Workload(program=("/usr/bin/python3", "a.py"))
        text = "".join(file.text for file in export_plan(kind, plan, work, OwnLaunch()))
        assert "ZE_AFFINITY_MASK=1" in text
        assert "IPEXLAUNCH_ACCELERATOR=xpu:1" in text
    for kind in ("docker", "kubernetes"):
        with pytest.raises(RequestError, match="numbers its accelerators from 0"):
            export_plan(kind, plan, Workload(program=("image",)), OwnLaunch())


def test_what_a_batch_system_hands_out_is_all_that_is_planned_with() -> None:
    live = replace(synthetic_machine("2s 8c 4cuda"), source="live")
    asked = Request(device="cuda")
    assert visible_only(asked, live, {"CUDA_VISIBLE_DEVICES": "1,3"}).accelerators == "1,3"
    assert visible_only(asked, live, {"ZE_AFFINITY_MASK": "1"}).accelerators is None
    assert visible_only(asked, synthetic_machine("2s 8c 4cuda"), {"CUDA_VISIBLE_DEVICES": "1"}) == asked
    named = Request(device="cuda", accelerators="2")
    assert visible_only(named, live, {"CUDA_VISIBLE_DEVICES": "1"}) == named
    for text in ("GPU-8932f937-d72c", "", "0.1"):
        with pytest.raises(RequestError, match="name them with --accelerators"):
            visible_only(asked, live, {"CUDA_VISIBLE_DEVICES": text})
