"""Whether nodes are alike: the good and the bad case of each check."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipexlaunch.doctor.host_facts import NumaPackage
from ipexlaunch.machine.topology import Cpu, Node
from tests.doctor.hosts import GIB, NODE_MEMINFO, answer, machine

MEMINFO = "/sys/devices/system/node/node1/meminfo"


def test_nodes_of_unequal_cores_are_a_note() -> None:
    sizes = (43, 43, 42)
    cpus, first = [], 0
    for node, size in enumerate(sizes):
        cpus += [Cpu(id=first + i, core=first + i, socket=0, node=node) for i in range(size)]
        first += size
    nodes = tuple(Node(id=node, memory_bytes=GIB) for node in range(3))
    made = machine(cpus=tuple(cpus), nodes=nodes, allowed_cpus=frozenset(range(128)), allowed_nodes=frozenset(range(3)))
    found = answer("node-cores", topology=made)
    assert (found.severity, found.message[:33]) == ("note", "Nodes have 42 to 43 allowed cores")
    assert [seen.value for seen in found.evidence] == [
        "0-42 (43 allowed cores)",
        "43-85 (43 allowed cores)",
        "86-127 (42 allowed cores)",
    ]


def test_only_allowed_cores_are_counted() -> None:
    assert answer("node-cores", topology=machine(allowed_cpus=frozenset(range(4)))).severity == "ok"
    assert answer("node-cores", topology=machine(allowed_cpus=frozenset(range(5)))).severity == "note"


def test_a_core_counts_by_the_siblings_that_are_allowed() -> None:
    cpus = tuple(Cpu(id=cpu, core=cpu % 4, socket=0, node=cpu % 4 // 2) for cpu in range(8))
    made = machine(cpus=cpus, allowed_cpus=frozenset({4, 5, 6, 7}))
    assert answer("node-cores", topology=made).message == "Each of 2 nodes has 2 allowed cores"


def test_a_memoryless_node_with_cpus_is_a_warning_that_names_the_other_nodes() -> None:
    nodes = (Node(id=0, memory_bytes=64 * GIB), Node(id=1, memory_bytes=0))
    changes: dict[str, str | None] = {MEMINFO: "Node 1 MemTotal: 0 kB\n"}
    found = answer("memoryless-nodes", changes, topology=machine(nodes=nodes))
    assert (found.severity, found.command) == ("warning", "ipexlaunch --nodes-list 0 ...")
    assert [(seen.where, seen.value) for seen in found.evidence] == [(MEMINFO, "MemTotal: 0 kB")]


def test_a_saved_tree_without_memory_tables_does_not_make_nodes_memoryless() -> None:
    nodes = tuple(Node(id=node, memory_bytes=0) for node in range(2))
    found = answer("memoryless-nodes", {MEMINFO.replace("1", "*"): None}, topology=machine(nodes=nodes))
    assert (found.severity, found.evidence[0].value) == ("unknown", "it is missing")


def test_memory_without_cpus_is_a_note() -> None:
    nodes = (*machine().nodes, Node(id=2, memory_bytes=16 * GIB))
    found = answer("memoryless-nodes", topology=machine(nodes=nodes))
    assert found.severity == "note"
    assert "Node 2 is memory without cpus" in found.message


@pytest.mark.parametrize(("gib", "severity"), [(64, "ok"), (62, "ok"), (48, "warning"), (32, "warning")])
def test_a_node_with_fewer_modules_is_found(gib: int, severity: str) -> None:
    nodes = (Node(id=0, memory_bytes=64 * GIB), Node(id=1, memory_bytes=gib * GIB))
    assert answer("node-memory-size", topology=machine(nodes=nodes)).severity == severity


@pytest.mark.parametrize(("free", "severity"), [(52428800, "ok"), (30000000, "ok"), (1048576, "warning")])
def test_a_node_that_others_filled_is_found(free: int, severity: str) -> None:
    text = NODE_MEMINFO.format(node=1).replace("52428800", str(free))
    assert answer("node-memory-free", {MEMINFO: text}).severity == severity


def test_the_fuller_node_leads_the_evidence() -> None:
    text = NODE_MEMINFO.format(node=1).replace("52428800", "1048576")
    found = answer("node-memory-free", {MEMINFO: text})
    assert found.message.startswith("Of node 1 16% is left, of node 0 92%")
    assert found.evidence[0].where == MEMINFO


def test_a_smaller_node_that_nobody_uses_is_not_a_full_one() -> None:
    text = NODE_MEMINFO.format(node=1).replace("67108864", "16777216").replace("52428800", "6291456")
    assert answer("node-memory-free", {MEMINFO: text}).severity == "ok"


def test_file_cache_counts_as_memory_that_is_left() -> None:
    text = (
        NODE_MEMINFO.format(node=1)
        .replace("52428800", "1048576")
        .replace("Inactive(file):  4194304", "Inactive(file): 51380224")
    )
    assert answer("node-memory-free", {MEMINFO: text}).severity == "ok"


def test_nodes_that_we_may_not_use_are_not_compared() -> None:
    text = NODE_MEMINFO.format(node=1).replace("52428800", "1048576")
    made = machine(allowed_cpus=frozenset(range(4)), allowed_nodes=frozenset({0}))
    assert answer("node-memory-free", {MEMINFO: text}, topology=made).severity == "ok"


def test_a_node_table_with_words_for_numbers_is_unknown() -> None:
    found = answer("node-memory-free", {MEMINFO: NODE_MEMINFO.format(node=1).replace("52428800", "much")})
    assert (found.severity, found.evidence[0].value) == ("unknown", "MemFree: much kB")


def test_a_cut_off_node_table_is_unknown_with_its_path() -> None:
    found = answer("node-memory-free", {MEMINFO: NODE_MEMINFO.format(node=1)[:60]})
    assert (found.severity, found.evidence[0].where) == ("unknown", MEMINFO)


@pytest.mark.parametrize(
    ("package", "severity"),
    [
        (NumaPackage("/x/numa.so", count=2), "ok"),
        (NumaPackage("/x/numa.so", count=1), "warning"),
        (NumaPackage("/x/numa.so", highest_id=1), "ok"),
        (NumaPackage("/x/numa.so", highest_id=0), "warning"),
        (NumaPackage("/x/numa.so"), "warning"),
    ],
)
def test_the_numa_package_is_compared_with_the_kernel(package: NumaPackage, severity: str) -> None:
    assert answer("numa-package", numa_package=package).severity == severity


def test_sparse_ids_and_memoryless_nodes_are_counted_as_libnuma_counts_them() -> None:
    cpus = tuple(replace(cpu, node=0) for cpu in machine().cpus)
    nodes = (Node(id=0, memory_bytes=GIB), Node(id=8, memory_bytes=0), Node(id=252, memory_bytes=GIB))
    for package in (NumaPackage("/x", highest_id=252), NumaPackage("/x", count=2), NumaPackage("/x", count=3)):
        found = answer("numa-package", topology=replace(machine(), cpus=cpus, nodes=nodes), numa_package=package)
        assert (found.severity, found.evidence[1].value) == ("ok", "0,8,252")


def test_a_numa_package_that_sees_no_numa_is_right_on_one_node() -> None:
    one = machine(nodes=(Node(id=0, memory_bytes=GIB),), cpus=tuple(replace(c, node=0) for c in machine().cpus))
    assert answer("numa-package", topology=one, numa_package=NumaPackage("/x/numa.so")).severity == "ok"
