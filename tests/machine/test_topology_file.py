from __future__ import annotations

import json
import re

import pytest

from ipexlaunch.errors import DocumentError
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.machine.topology_file import parse_topology, topology_to_json, topology_to_yaml
from tests.machine.probe.rich_machine import RICH

LEAST = """\
schema: ipexlaunch/topology/1
cpus:
- {id: 1, core: 0, socket: 0, node: 0}
- {id: 0, core: 0, socket: 0, node: 0}
- {id: 2, core: 2, socket: 1, node: 1}
nodes:
- {id: 1, memory_bytes: 0}
- {id: 0, memory_bytes: 1024}
"""


def test_bare_facts_are_a_machine_and_everything_with_memory_is_allowed() -> None:
    machine = parse_topology(LEAST, "m.yaml")
    assert [cpu.id for cpu in machine.cpus] == [0, 1, 2]
    assert [node.id for node in machine.nodes] == [0, 1]
    assert (machine.allowed_cpus, machine.allowed_nodes) == (frozenset({0, 1, 2}), frozenset({0}))
    assert parse_topology(LEAST.replace("1024", "0"), "m.yaml").allowed_nodes == {0, 1}
    assert parse_topology(LEAST + "allowed_cpus: 2\nallowed_nodes: '1'\n", "m.yaml").allowed_cpus == {2}


def test_everything_survives_and_stands_where_a_person_finds_it() -> None:
    text = topology_to_yaml(RICH)
    assert parse_topology(text, "m.yaml") == RICH == parse_topology(topology_to_json(RICH), "m.json")
    assert text.startswith("schema: ipexlaunch/topology/1\n")
    assert "- {id: 2, core: 2, socket: 0, node: 0, l2: 2, l3: 0, kind: performance, die: 0, cluster: 0}\n" in text
    assert 'allowed_cpus: "2-5"\n' in text
    document = json.loads(topology_to_json(synthetic_machine("1c")))
    assert document["cpus"] == [
        {"id": 0, "core": 0, "socket": 0, "node": 0, "l2": 0, "l3": 0, "kind": None, "die": None, "cluster": None}
    ]
    assert document["cpu_quota"] is None
    assert document["nodes"][0]["distances"] == {"0": 10}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("socket: 1", "socket: 1, sokcet: 1", "line 5, cpus[2].sokcet: unknown key 'sokcet'; did you mean 'socket'?"),
        ("core: 2, ", "", "line 5, cpus[2].core: the key 'core' is missing"),
        ("id: 2, core: 2", "id: 2, core: 3", "line 5, cpus[2].core: 3 is not the lowest cpu id of a core"),
        ("id: 1, core: 0", "id: 1, core: 1", None),
        ("id: 0, core: 0", "id: 0, core: 2", "line 3, cpus[0].core: 0 is not the lowest cpu id of a core"),
        ("core: 0, socket: 0", "core: 0, socket: 4", "line 3, cpus[0].socket: cpu 1 and its sibling 0 differ"),
        ("id: 2,", "id: 1,", "line 5, cpus[2].id: 1 stands there twice"),
        ("node: 1", "node: 7", "line 5, cpus[2].node: there is no node 7; nodes: 0-1"),
        ("memory_bytes: 0", "memory_bytes: 0, distances: {5: 10}", "line 7, nodes[0].distances: there is no node 5"),
        ("memory_bytes: 0", "memory_bytes: 0, initiators: 5", "line 7, nodes[0].initiators: there is no node 5"),
        ("memory_bytes: 0", "memory_bytes: -1", "greater than or equal to 0, not -1"),
        ("memory_bytes: 0", "memory_bytes: 64GiB", "valid integer, not '64GiB'"),
        ("memory_bytes: 0", "memory_bytes: 0, distances: 10", "valid dictionary, not 10"),
        ("nodes:", "allowed_cpus: 0-5\nnodes:", "line 6, allowed_cpus: 3-5 is not there; there are 0-2"),
        ("nodes:", "allowed_nodes: '3'\nnodes:", "line 6, allowed_nodes: 3 is not there; there are 0-1"),
        ("nodes:", "allowed_cpus: 0-x\nnodes:", "line 6, allowed_cpus: '0-x' is not an id or a range"),
        ("nodes:", "allowed_cpus: [0, 1]\nnodes:", 'line 6, allowed_cpus: it should be a list such as "0-13,56-69"'),
        ("nodes:", "cpu_quota: 0\nnodes:", "line 6, cpu_quota: input should be greater than 0, not 0"),
        ("topology/1", "topology/2", "its schema is 'ipexlaunch/topology/2'"),
    ],
)
def test_mistakes_are_told_with_their_place(old: str, new: str, words: str | None) -> None:
    text = LEAST.replace(old, new, 1)
    assert text != LEAST
    if words is None:
        parse_topology(text, "m.yaml")
        return
    with pytest.raises(DocumentError, match=re.escape(words)) as caught:
        parse_topology(text, "m.yaml")
    assert str(caught.value).startswith("cannot read m.yaml")


def test_a_machine_without_nodes_allows_none() -> None:
    text = "schema: ipexlaunch/topology/1\ncpus:\n- {id: 0, core: 0, socket: 0}\n"
    assert parse_topology(text, "m").allowed_nodes == frozenset()
    with pytest.raises(DocumentError, match="0 is not there; the document has no nodes"):
        parse_topology(text + "allowed_nodes: 0\n", "m")
    with pytest.raises(DocumentError, match="cpus: list should have at least 1 item"):
        parse_topology("schema: ipexlaunch/topology/1\ncpus: []\n", "m")


def test_text_that_yaml_would_misread_survives() -> None:
    from dataclasses import replace

    for about in ("no", "1e3", 'quotes " and \\', "línea\nnueva", "# not a comment", "\x80\x85\u2028\ufffe", "🙂", "~"):
        machine = replace(RICH, about=about, cpu_model=about)
        assert parse_topology(topology_to_yaml(machine), "m") == machine, about
        assert parse_topology(topology_to_json(machine), "m") == machine, about


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        '{"a":' * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        "".join(f"{' ' * level}a:\n" for level in range(2000)),
        '{"schema": "ipexlaunch/topology/1", "cpus": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"schema": "ipexlaunch/topology/1", "cpus": ' + "9" * 5000 + "}",
        "schema: ipexlaunch/topology/1\ncpus: " + "9" * 5000,
    ],
)
def test_text_that_would_end_the_parser_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match=r"it nests deeper|it is not YAML|it holds a number of thousands of digits"):
        parse_topology(text, "m")
