"""Topology to and from its document, `ipexlaunch/topology/1`, in YAML for people and JSON for machines.

Rows of cpus and nodes stand on one line each. In YAML what is unknown is left out; in JSON every key is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ipexlaunch.documents.codec import read_value, to_plain
from ipexlaunch.documents.text import Document, parse_document, problem_at
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Topology

KIND = "topology"
VERSIONS = (1,)
SCHEMA = f"ipexlaunch/{KIND}/{VERSIONS[-1]}"


def parse_topology(text: str, source: str) -> Topology:
    """The machine that a YAML or JSON document describes; rows may stand in any order.

    Where `allowed_cpus` or `allowed_nodes` is left out, every cpu and every node with memory is allowed.

    Args:
        text: the whole file.
        source: its name, for messages.

    Raises:
        DocumentError: what departs from the format, or contradicts itself, with its place.
    """
    document = parse_document(text, source, {KIND: VERSIONS})
    left_out = {key: "" for key in ("allowed_cpus", "allowed_nodes") if document.data.get(key) is None}
    topology = read_value(replace(document, data={**document.data, **left_out}), Topology)
    cpus, nodes = frozenset(cpu.id for cpu in topology.cpus), frozenset(node.id for node in topology.nodes)
    if "allowed_cpus" in left_out:
        topology = replace(topology, allowed_cpus=cpus)
    if "allowed_nodes" in left_out:
        with_memory = frozenset(node.id for node in topology.nodes if node.memory_bytes)
        topology = replace(topology, allowed_nodes=with_memory or nodes)
    _check(document, topology, cpus, nodes)
    return replace(
        topology,
        cpus=tuple(sorted(topology.cpus, key=lambda cpu: cpu.id)),
        nodes=tuple(sorted(topology.nodes, key=lambda node: node.id)),
        accelerators=tuple(sorted(topology.accelerators, key=lambda device: device.address)),
    )


def _check(document: Document, topology: Topology, cpus: frozenset[int], nodes: frozenset[int]) -> None:
    """Refuse what no machine can be: ids that come twice, references to what is not there."""
    _check_unique(document, "cpus", [cpu.id for cpu in topology.cpus])
    _check_unique(document, "nodes", [node.id for node in topology.nodes])
    for index, cpu in enumerate(topology.cpus):
        path: tuple[str | int, ...] = ("cpus", index)
        first = topology.by_cpu.get(cpu.core)
        if first is None or first.core != cpu.core or cpu.core > cpu.id:
            raise problem_at(document, (*path, "core"), f"{cpu.core} is not the lowest cpu id of a core", "")
        if first.socket != cpu.socket:
            raise problem_at(document, (*path, "socket"), f"cpu {cpu.id} and its sibling {cpu.core} differ", "")
        if cpu.node is not None and cpu.node not in nodes:
            raise problem_at(document, (*path, "node"), f"there is no node {cpu.node}", f"nodes: {format_list(nodes)}")
    for index, node in enumerate(topology.nodes):
        strange = (set(node.distances) | node.initiators) - nodes
        if strange:
            key = "distances" if strange & set(node.distances) else "initiators"
            raise problem_at(document, ("nodes", index, key), f"there is no node {min(strange)}", "")
    for key, ids, known in (
        ("allowed_cpus", topology.allowed_cpus, cpus),
        ("allowed_nodes", topology.allowed_nodes, nodes),
    ):
        if not ids <= known:
            hint = f"there are {format_list(known)}" if known else "the document has no nodes"
            raise problem_at(document, (key,), f"{format_list(ids - known)} is not there", hint)


def _check_unique(document: Document, key: str, ids: Iterable[int]) -> None:
    seen: set[int] = set()
    for index, number in enumerate(ids):
        if number in seen:
            raise problem_at(document, (key, index, "id"), f"{number} stands there twice", "")
        seen.add(number)


def topology_to_yaml(topology: Topology) -> str:
    """The document as YAML, one cpu or node a line, without what is unknown."""
    lines = [f"schema: {SCHEMA}\n"]
    for key, value in to_plain(topology).items():
        if value in (None, "", [], {}):
            continue
        if key == "cpus":  # by hand: the YAML library takes 300 ms for 2,048 rows
            lines.append("cpus:\n" + "".join(f"- {{{_cpu_line(row)}}}\n" for row in value))
        elif isinstance(value, list) and isinstance(value[0], dict):
            rows = [{name: item for name, item in row.items() if item not in (None, "", {})} for row in value]
            lines.append(f"{key}:\n" + "".join(f"- {_flow(row)}\n" for row in rows))
        else:
            lines.append(f"{key}: {_quoted(value)}\n")
    return "".join(lines)


def topology_to_json(topology: Topology) -> str:
    """The document as JSON, every key written, one cpu or node a line."""
    parts = [f' "schema": "{SCHEMA}"']
    for key, value in to_plain(topology).items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f' "{key}": [\n  {rows}\n ]')
        else:
            parts.append(f' "{key}": {json.dumps(value, ensure_ascii=False)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _cpu_line(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in row.items() if value is not None)


def _quoted(value: object) -> str:
    """JSON, which is YAML but for characters that YAML does not read bare."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def _flow(row: Mapping[str, Any]) -> str:
    """A row as one line; JSON is YAML, and bare keys read better."""
    return "{" + ", ".join(f"{key}: {_quoted(value)}" for key, value in row.items()) + "}"
