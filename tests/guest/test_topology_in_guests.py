"""`ipexlaunch topology` says of each guest what lstopo and numactl -H say of it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any
from xml.etree import ElementTree

import pytest

from ipexlaunch.machine.cpulist import parse_list
from tests.guest.findings import Findings
from tests.guest.scenarios import allowed_cpus, allowed_nodes

pytestmark = pytest.mark.guest

Sets = set[frozenset[int]]

MIB = 1 << 20
MIB_PER_GIB = 1024


def ours(findings: Findings) -> dict[str, Any]:
    ran = findings["topology"]
    assert ran["status"] == 0, ran["stderr"]
    document: dict[str, Any] = json.loads(ran["stdout"])
    return document


def lstopo(findings: Findings) -> ElementTree.Element:
    ran = findings["tools"]["lstopo"]
    assert ran["status"] == 0, ran["stderr"]
    return ElementTree.fromstring(ran["stdout"])


def numactl(findings: Findings) -> str:
    ran = findings["tools"]["numactl"]
    assert ran["status"] == 0, ran["stderr"]
    text: str = ran["stdout"]
    return text


def numactl_rows(findings: Findings, pattern: str) -> dict[int, list[int]]:
    """First number of each matching line to the numbers after it."""
    rows = re.findall(pattern, numactl(findings), re.MULTILINE)
    return {int(first): [int(number) for number in re.findall(r"\d+", rest)] for first, rest in rows}


def sets_of(element: ElementTree.Element, kind: str) -> Sets:
    """The cpus below each of lstopo's objects of a kind."""
    return {frozenset(cpu_ids(thing)) for thing in element.iter("object") if thing.get("type") == kind}


def cpu_ids(element: ElementTree.Element) -> Iterable[int]:
    return (int(thing.attrib["os_index"]) for thing in element.iter("object") if thing.get("type") == "PU")


def bits(mask: str) -> set[int]:
    """hwloc's "0x00000001,0xffff0000": words of 32 bits, the highest first; an empty word is 0."""
    number = 0
    for word in mask.split(","):
        number = number << 32 | int(word or "0", 16)
    return {bit for bit in range(number.bit_length()) if number >> bit & 1}


def grouped(document: dict[str, Any], key: Callable[[dict[str, Any]], object]) -> Sets:
    groups: dict[object, set[int]] = defaultdict(set)
    for cpu in document["cpus"]:
        groups[key(cpu)].add(cpu["id"])
    return {frozenset(cpus) for cpus in groups.values()}


@pytest.mark.parametrize(
    ("theirs", "key"), [("Package", "socket"), ("Core", "core"), ("L3Cache", "l3"), ("L2Cache", "l2")]
)
def test_lstopo_groups_the_cpus_alike(findings: Findings, theirs: str, key: str) -> None:
    assert grouped(ours(findings), lambda cpu: cpu[key]) == sets_of(lstopo(findings), theirs)


def test_lstopo_lists_the_same_cpus(findings: Findings) -> None:
    assert {cpu["id"] for cpu in ours(findings)["cpus"]} == set(cpu_ids(lstopo(findings)))


def test_lstopo_allows_the_same_cpus_and_nodes(findings: Findings) -> None:
    machine = lstopo(findings).find("object")
    assert machine is not None
    assert parse_list(ours(findings)["allowed_cpus"]) == bits(machine.attrib["allowed_cpuset"])
    # hwloc counts a node without memory as allowed where the kernel's Mems_allowed leaves it out.
    with_memory = {node["id"] for node in ours(findings)["nodes"] if node["memory_bytes"]}
    assert parse_list(ours(findings)["allowed_nodes"]) == bits(machine.attrib["allowed_nodeset"]) & with_memory


def test_lstopo_gives_each_node_the_same_memory(findings: Findings) -> None:
    theirs = {
        int(thing.attrib["os_index"]): int(thing.get("local_memory", "0"))
        for thing in lstopo(findings).iter("object")
        if thing.get("type") == "NUMANode"
    }
    assert {node["id"]: node["memory_bytes"] for node in ours(findings)["nodes"]} == theirs


def test_numactl_gives_each_node_the_same_cpus(findings: Findings) -> None:
    cpus: dict[int, set[int]] = {node["id"]: set() for node in ours(findings)["nodes"]}
    for cpu in ours(findings)["cpus"]:
        cpus[cpu["node"]].add(cpu["id"])
    theirs = numactl_rows(findings, r"^node (\d+) cpus:(.*)$")
    assert cpus == {node: set(ids) for node, ids in theirs.items()}


def test_numactl_gives_each_node_the_same_memory(findings: Findings) -> None:
    memory = {node["id"]: [node["memory_bytes"] // MIB] for node in ours(findings)["nodes"]}
    assert memory == numactl_rows(findings, r"^node (\d+) size: (\d+) MB$")


def test_numactl_gives_the_same_distances(findings: Findings) -> None:
    nodes = sorted(node["id"] for node in ours(findings)["nodes"])
    rows = {node["id"]: [node["distances"][str(other)] for other in nodes] for node in ours(findings)["nodes"]}
    assert rows == numactl_rows(findings, r"^ +(\d+): +(.*)$")


def test_the_probe_sees_what_the_shape_allows_and_what_is_offline(findings: Findings) -> None:
    document = ours(findings)
    assert parse_list(document["allowed_cpus"]) == allowed_cpus(findings.shape)
    assert parse_list(document["allowed_nodes"]) == set(allowed_nodes(findings.shape))
    assert parse_list(document["offline_cpus"]) == findings.shape.offline


@pytest.mark.parametrize("findings", ["memory-only"], indirect=True)
def test_each_nodes_nearest_cpus_latency_and_bandwidth_are_what_the_firmware_claims(findings: Findings) -> None:
    shape = findings.shape
    assert shape.attributes
    for node in ours(findings)["nodes"]:
        initiator = shape.initiator(node["id"])
        assert parse_list(node["initiators"]) == {initiator}
        assert node["read_latency_ns"] == shape.latency_ns(initiator, node["id"])
        assert node["read_bandwidth_mb_s"] == shape.bandwidth_gib_s(initiator, node["id"]) * MIB_PER_GIB
