"""Topology to and from its document, `ipexlaunch/topology/1`, in YAML for people and JSON for machines.

Rows of cpus and nodes stand on one line each. In YAML what is unknown is left out; in JSON every key is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Cpu, Limit, Node, Topology

KIND = "topology"
VERSIONS = (1,)
SCHEMA = f"ipexlaunch/{KIND}/{VERSIONS[-1]}"

CPU_KEYS = ("id", "core", "socket", "node", "l2", "l3", "kind", "die", "cluster")


def parse_topology(text: str, source: str) -> Topology:
    """The machine that a YAML or JSON document describes; rows may stand in any order.

    Where `allowed_cpus` or `allowed_nodes` is left out, every cpu and every node with memory is allowed.

    Args:
        text: the whole file.
        source: its name, for messages.

    Raises:
        DocumentError: what departs from the format, or contradicts itself, with its place.
    """
    from ipexlaunch.documents.text import parse_document
    from ipexlaunch.machine.topology_schema import topology_from_document

    return topology_from_document(parse_document(text, source, {KIND: VERSIONS}))


def topology_to_yaml(topology: Topology) -> str:
    """The document as YAML, one cpu or node a line, without what is unknown."""
    data = {key: value for key, value in _plain(topology).items() if value not in (None, "", [], {})}
    lines = []
    for key, value in data.items():
        if key == "cpus":  # by hand: the YAML library takes 300 ms for 2,048 rows
            lines.append("cpus:\n" + "".join(f"- {{{_cpu_line(cpu)}}}\n" for cpu in topology.cpus))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            rows = [{name: item for name, item in row.items() if item not in (None, "", {})} for row in value]
            lines.append(f"{key}:\n" + "".join(f"- {_flow(row)}\n" for row in rows))
        else:
            lines.append(f"{key}: {value if key == 'schema' else _quoted(value)}\n")
    return "".join(lines)


def topology_to_json(topology: Topology) -> str:
    """The document as JSON, every key written, one cpu or node a line."""
    parts = []
    for key, value in _plain(topology).items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f' "{key}": [\n  {rows}\n ]')
        else:
            parts.append(f' "{key}": {json.dumps(value, ensure_ascii=False)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _cpu_line(cpu: Cpu) -> str:
    values = ((name, getattr(cpu, name)) for name in CPU_KEYS)
    return ", ".join(f"{name}: {value}" for name, value in values if value is not None)


def _quoted(value: object) -> str:
    """JSON, which is YAML but for characters that YAML does not read bare."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def _flow(row: Mapping[str, Any]) -> str:
    """A row as one line; JSON is YAML, and bare keys read better."""
    return "{" + ", ".join(f"{key}: {_quoted(value)}" for key, value in row.items()) + "}"


def _plain(topology: Topology) -> dict[str, Any]:
    """The document as plain data, in the order in which it is written."""
    return {
        "schema": SCHEMA,
        "about": topology.about,
        "source": topology.source,
        "cpu_model": topology.cpu_model,
        "cpus": [{name: getattr(cpu, name) for name in CPU_KEYS} for cpu in topology.cpus],
        "nodes": [_node_row(node) for node in topology.nodes],
        "allowed_cpus": format_list(topology.allowed_cpus),
        "allowed_nodes": format_list(topology.allowed_nodes),
        "cpu_quota": topology.cpu_quota,
        "memory_limit_bytes": topology.memory_limit_bytes,
        "isa": sorted(topology.isa),
        "present_cpus": format_list(topology.present_cpus),
        "possible_cpus": format_list(topology.possible_cpus),
        "offline_cpus": format_list(topology.offline_cpus),
        "isolated_cpus": format_list(topology.isolated_cpus),
        "smt": topology.smt,
        "accelerators": [asdict(device) for device in topology.accelerators],
        "limits": [_limit_row(limit) for limit in topology.limits],
        "gaps": list(topology.gaps),
    }


def _node_row(node: Node) -> dict[str, Any]:
    return {
        "id": node.id,
        "memory_bytes": node.memory_bytes,
        "distances": {str(other): distance for other, distance in sorted(node.distances.items())},
        "huge_pages": {str(size): count for size, count in sorted(node.huge_pages.items())},
        "initiators": format_list(node.initiators),
        "read_bandwidth_mb_s": node.read_bandwidth_mb_s,
        "read_latency_ns": node.read_latency_ns,
        "hidden_cpus": format_list(node.hidden_cpus),
    }


def _limit_row(limit: Limit) -> dict[str, Any]:
    return {
        "kind": limit.kind,
        "file": limit.file,
        "cpus": None if limit.cpus is None else format_list(limit.cpus),
        "nodes": None if limit.nodes is None else format_list(limit.nodes),
        "quota": limit.quota,
        "memory_bytes": limit.memory_bytes,
        "page_bytes": limit.page_bytes,
    }
