"""The test bed itself: every guest is the machine that its shape says, and its limits hold."""

from __future__ import annotations

import errno
import re
from xml.etree import ElementTree

import pytest

from ipexlaunch.machine.cpulist import format_list, parse_list
from tests.guest.findings import Findings
from tests.guest.scenarios import allowed_cpus, allowed_nodes
from tests.guest.shape import SHAPES

pytestmark = pytest.mark.guest

KERNEL_TAKES_KIB = 128 << 10
"""The kernel, its initramfs and page structures (node 0), and 64 MiB of bounce buffers below 4 GiB (any node)."""


def test_the_online_cpus_are_the_shapes(findings: Findings) -> None:
    assert parse_list(findings["kernel"]["online"]) == findings.shape.online


def test_each_node_has_the_cpus_that_the_shape_gives_it(findings: Findings) -> None:
    shape = findings.shape
    assert findings["kernel"]["node_cpus"] == {
        str(node): format_list(shape.online_of_node(node)) for node in range(len(shape.node_sizes_mib))
    }


def test_each_cpu_has_its_socket_and_its_siblings(findings: Findings) -> None:
    shape = findings.shape
    online = [cpu for cpu in shape.cpus if cpu.id in shape.online]
    assert findings["kernel"]["package"] == {str(cpu.id): cpu.socket for cpu in online}
    assert findings["kernel"]["siblings"] == {str(cpu.id): format_list(shape.siblings(cpu)) for cpu in online}


def test_each_node_has_its_memory(findings: Findings) -> None:
    for node, mib in enumerate(findings.shape.node_sizes_mib):
        got = findings["kernel"]["memory_kib"][str(node)]
        assert (mib << 10) - KERNEL_TAKES_KIB <= got <= mib << 10 if mib else got == 0, node


def test_the_nodes_are_as_far_apart_as_the_shape_says(findings: Findings) -> None:
    nodes = range(len(findings.shape.node_sizes_mib))
    assert findings["kernel"]["distances"] == {
        str(one): [str(findings.shape.distance(one, other)) for other in nodes] for one in nodes
    }


def test_a_process_may_use_what_the_shape_allows(findings: Findings) -> None:
    assert parse_list(findings["this_process"]["affinity"]) == allowed_cpus(findings.shape)
    assert parse_list(findings["this_process"]["mems_allowed"]) == set(allowed_nodes(findings.shape))


def test_memory_policy_is_refused_only_under_the_filter(findings: Findings) -> None:
    refused = findings.shape.refuse_memory_policy
    assert findings["this_process"]["seccomp"] == ("2" if refused else "0")
    assert findings["policy_refusal"] == (errno.EPERM if refused else 0)


def test_numactl_shows_the_same_nodes(findings: Findings) -> None:
    assert findings["tools"]["numactl"]["status"] == 0
    cpus = re.findall(r"^node (\d+) cpus:(.*)$", findings["tools"]["numactl"]["stdout"], re.MULTILINE)
    shape = findings.shape
    assert {int(node): set(map(int, text.split())) for node, text in cpus} == {
        node: shape.online_of_node(node) for node in range(len(shape.node_sizes_mib))
    }


def test_lstopo_shows_the_same_packages(findings: Findings) -> None:
    assert findings["tools"]["lstopo"]["status"] == 0
    tree = ElementTree.fromstring(findings["tools"]["lstopo"]["stdout"])
    packages = tree.findall(".//object[@type='Package']")
    found = {
        frozenset(int(cpu.attrib["os_index"]) for cpu in package.findall(".//object[@type='PU']"))
        for package in packages
    }
    shape = findings.shape
    assert found == {
        frozenset(cpu.id for cpu in shape.cpus if cpu.socket == socket) & shape.online
        for socket in range(shape.sockets)
    }


def test_the_shapes_differ_in_what_they_are_for() -> None:
    assert (SHAPES["2s2n-smt"].sockets, len(SHAPES["2s2n-smt"].cpu_nodes), SHAPES["2s2n-smt"].threads) == (2, 4, 2)
    assert (SHAPES["4s"].sockets, len(SHAPES["8n"].cpu_nodes)) == (4, 8)
    assert all((SHAPES["memory-only"].memory_only_mib, SHAPES["memoryless"].memoryless, SHAPES["offline"].offline))
    assert SHAPES["interleaved"].numbering == "sockets-in-turn"
    assert all((SHAPES["cpuset"].cpuset_cpus, SHAPES["cpuset"].cpuset_mems, SHAPES["seccomp"].refuse_memory_policy))
