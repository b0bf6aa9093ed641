"""Nodes that overlap, have gaps, have no memory or no cpus, or are not there at all."""

from __future__ import annotations

import pytest

from tests.machine.probe.small_tree import NODE, Text, cores, machine, problem


def node(number: int, cpus: str, memory_kib: int | None = 1024, distance: str | None = None) -> Text:
    base = f"{NODE}/node{number}"
    meminfo = None if memory_kib is None else f"Node {number} MemTotal:    {memory_kib} kB\nNode {number} MemFree: 1 kB"
    return {f"{base}/cpulist": cpus, f"{base}/meminfo": meminfo, f"{base}/distance": distance}


def test_nodes_that_list_the_same_cpus_are_one() -> None:
    found = machine(cores(4), *(node(number, "0-3", distance="10 20 20") for number in range(3)))
    assert [(n.id, n.memory_bytes, n.distances) for n in found.nodes] == [(0, 1 << 20, {0: 10})]
    assert {cpu.node for cpu in found.cpus} == {0}
    assert found.allowed_nodes == {0}


def test_nodes_that_overlap_in_part_are_an_error() -> None:
    assert "node1/cpulist: it names cpus of node 0 beside its own" in problem(cores(4), node(0, "0-2"), node(1, "2-3"))


def test_a_cpu_in_no_node_is_an_error() -> None:
    assert f"{NODE}: cpu 3 is online, and no node*/cpulist names it" in problem(cores(4), node(0, "0-2"), node(1, ""))


def test_distances_follow_the_order_of_the_nodes_and_not_their_numbers() -> None:
    found = machine(
        cores(2), node(0, "0", distance="10 16 22"), node(33, "1", distance="16 10 17"), node(72, "", 5, "22 17 10")
    )
    assert [n.distances for n in found.nodes] == [
        {0: 10, 33: 16, 72: 22},
        {0: 16, 33: 10, 72: 17},
        {0: 22, 33: 17, 72: 10},
    ]


def test_rows_of_a_machine_from_which_nodes_were_cut_are_unknown_and_one_odd_row_is_an_error() -> None:
    cut = machine(cores(2), node(0, "0", distance="10 20 30"), node(2, "1", distance="30 20 10"))
    assert [n.distances for n in cut.nodes] == [{}, {}]
    odd = problem(cores(2), node(0, "0", distance="10 20 30"), node(2, "1", distance="30 10"))
    assert "node0/distance: it holds 3 distances, and there are 2 nodes" in odd


def test_memory_only_and_memoryless_nodes() -> None:
    found = machine(cores(2), node(0, "0-1", 0), node(1, "", 64))
    assert [(n.id, n.memory_bytes) for n in found.nodes] == [(0, 0), (1, 65536)]
    assert found.allowed_nodes == {1}


def test_without_any_meminfo_has_memory_tells_which_nodes_may_be_used() -> None:
    nodes = node(0, "0-1", None) | node(1, "", None)
    assert machine(cores(2), nodes).allowed_nodes == {0, 1}
    assert machine(cores(2), nodes, {f"{NODE}/has_memory": "1,7"}).allowed_nodes == {1}


def test_cpus_of_nodes_from_masks_where_there_are_no_lists() -> None:
    masks: Text = {f"{NODE}/node0/cpumap": "00000000,00000001", f"{NODE}/node2/cpumap": "2"}
    assert [cpu.node for cpu in machine(cores(2), masks).cpus] == [0, 2]


def test_huge_pages_and_initiators() -> None:
    base = f"{NODE}/node0"
    found = machine(
        cores(1),
        node(0, "0"),
        {
            f"{base}/hugepages/hugepages-2048kB/nr_hugepages": "7",
            f"{base}/hugepages/strange/nr_hugepages": "x",
            f"{base}/access0/initiators/node0/uevent": "",
            f"{base}/access0/initiators/node9/uevent": "",
            f"{base}/access0/initiators/read_latency": "90",
        },
    ).nodes[0]
    assert (found.huge_pages, found.initiators) == ({2 << 20: 7}, frozenset({0}))
    assert (found.read_latency_ns, found.read_bandwidth_mb_s) == (90, None)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (node(0, "0-1") | {f"{NODE}/online": "0-1"}, "node1: there is no such directory, and"),
        (node(0, "0-1") | node(1, "") | {f"{NODE}/online": "0"}, "online: it does not name node 1, which has"),
        (node(0, "0-1", distance="10 20"), "distance: it holds 2 distances, and there are 1 nodes"),
        (node(0, "0-1", distance="9"), "distance: it holds the distance 9, and the least is 10"),
        (node(0, "0-1", distance="1o"), "distance: it holds '1o', which are no distances"),
        (node(0, "0-1") | {f"{NODE}/node0/meminfo": "Node 0 MemFree: 3 kB"}, "meminfo: it has no line"),
        (node(0, "0-1") | {f"{NODE}/node0/meminfo": "Node 0 MemTotal: x kB"}, "meminfo: it has no line"),
        (node(0, "0-1") | node(1, "", None), "node1/meminfo: there is no such file"),
        (node(0, "0", distance="10 20") | node(1, "1"), "node1/distance: there is no such file"),
        (node(0, "0") | {f"{NODE}/node1/cpumap": "2"}, "node1/cpulist: there is no such file"),
    ],
)
def test_what_is_malformed_is_named(files: Text, words: str) -> None:
    assert words in problem(cores(2), files)


def test_a_node_folder_without_nodes_is_a_kernel_without_numa() -> None:
    assert machine(cores(2), {f"{NODE}/possible": "0"}).nodes == ()
