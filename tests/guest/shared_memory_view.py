"""Where memory lies that workers share, in a guest with two nodes: weights that one has filled, pages from a fork.

    python -m tests.guest.shared_memory_view

Prints one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from ipexlaunch.launch.bind import held_to
from ipexlaunch.launch.placement.inspect_workers import Inspector
from ipexlaunch.launch.placement.verify import misplacements_at_worst
from ipexlaunch.machine.cpulist import format_list, parse_list
from ipexlaunch.plan import Instance
from tests.guest.driver import LAUNCHER
from tests.worker.safetensors import write_tensors

WORKER = str(Path(__file__).with_name("shared_weights_worker.py"))
WEIGHTS_BYTES = 16 << 20
FORKED_MIB = 64


def main() -> None:
    """Look and print."""
    print(json.dumps({"weights": weights(), "forked": forked()}))


def weights() -> object:
    """Two workers on each node map the same weights."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        write_tensors(Path(directory, "m.safetensors"), {"a": ("U8", [WEIGHTS_BYTES], b"\1" * WEIGHTS_BYTES)})
        command = [*LAUNCHER, "--ninstances", "4", "--report", str(report), WORKER, directory]
        ran = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return {"stderr": ran.stderr, "report": json.loads(report.read_text()) if report.exists() else None}


def forked() -> object:
    """A template on node 1, looked at a child on its own node and one on the other."""
    cpus = [parse_list(Path(f"/sys/devices/system/node/node{node}/cpulist").read_text().strip()) for node in (0, 1)]
    command = [sys.executable, "-m", "tests.guest.forking_template", str(FORKED_MIB), format_list(cpus[0]), "0"]
    with held_to(cpus[1], "bind", frozenset({1})) as binding:
        template = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert template.stdout is not None
    children = [int(template.stdout.readline()) for _ in range(2)]
    found = []
    for child, node in zip(children, (1, 0), strict=True):
        placement = Inspector()(child)
        assert placement is not None
        instance = Instance(index=node, cpus=cpus[node], nodes=frozenset({node}), threads=1)
        bound = replace(binding, cpus=instance.cpus, nodes=instance.nodes)
        reasons = misplacements_at_worst(instance, [placement], bound)
        found.append({"share": placement.local_share({node}), "reasons": reasons, "cpus": format_list(placement.cpus)})
    template.communicate()
    return {"children": found, "cpus": [format_list(own) for own in cpus]}


if __name__ == "__main__":
    main()
