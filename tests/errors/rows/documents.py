"""Documents: files that cannot be read or written, and texts that are not what they should be."""

from __future__ import annotations

import os

from ipexlaunch.documents.read_text import LARGEST_BYTES, LONGEST_LINE_BYTES, read_lines, read_text
from ipexlaunch.documents.text import parse_document
from ipexlaunch.machine.synthetic import synthetic_machine
from tests.errors.provoke import Row
from tests.errors.rows.trees import edited

PLACES = ("documents/",)

PLAN = f"""\
schema: ipexlaunch/plan/1
topology: "{synthetic_machine("2s").fingerprint}"
request: {{cores_list: "x"}}
instances: []
idle_cpus: ""
"""
CHECK = "plan --topology 2s --check p.yaml"
TREE = "topology --topology m.yaml"


def _sparse(path: str, size: int) -> None:
    with open(path, "wb") as file:
        file.truncate(size)


def _of_lines(path: str) -> Row:
    return Row(lambda: list(read_lines(path)), name=f"read_lines({path!r})")


ROWS = [
    # reading
    Row(f"{CHECK}x"),
    Row("plan --topology 2s --check d", {"d": None}),
    Row("report p", before=lambda: os.mkfifo("p")),
    Row("plan --topology 2s --check large", before=lambda: _sparse("large", LARGEST_BYTES + 1)),
    Row(lambda: read_text("/proc/self/mem", "give a file"), name="read_text('/proc/self/mem')"),
    _of_lines("/proc/self/mem"),
    Row(
        lambda: list(read_lines("events")),
        before=lambda: _sparse("events", LONGEST_LINE_BYTES + 1),
        name="read_lines(a line of 32 MiB)",
    ),
    # syntax
    Row(TREE, {"m.yaml": "a: [1"}),
    Row(TREE, {"m.yaml": "a: !!int ''"}),
    Row(TREE, {"m.yaml": '{"a": ' + "9" * 5000 + "}"}),
    Row(TREE, {"m.yaml": "schema: ipexlaunch/topology/1\ncpus: " + "9" * 60}),
    Row(TREE, {"m.yaml": "[" * 70}),
    Row(TREE, {"m.yaml": '{"a": ' + "[" * 70 + "]" * 70 + "}"}),
    Row(TREE, {"m.yaml": '{"a": ' + "[" * 9000 + "]" * 9000 + "}"}),
    Row(TREE, {"m.yaml": "[1, 2]"}),
    edited("id: 1, core: 0", "id: 2, core: 1"),
    Row(TREE, {"m.yaml": "cpus: []"}),
    Row(TREE, {"m.yaml": "schema: ipexlaunch/topology/99"}),
    Row(TREE, {"m.yaml": "schema: ipexlaunch/topology/1\ncpu: []"}),
    Row("run --topology 2s --plan p.yaml a.py", {"p.yaml": PLAN, "a.py": ""}),
    Row(lambda: parse_document("a: \udcff", "p.yaml", {"plan": [1]}), name="parse_document(no UTF-8)"),
    # writing
    Row("run --report d a.py", {"d": None, "a.py": ""}),
    Row("run --report f/x.json a.py", {"f": "", "a.py": ""}),
    Row("run --log-dir f a.py", {"f": "", "a.py": ""}),
    Row("run --log-dir f/x a.py", {"f": "", "a.py": ""}),
    Row("run --metrics-file p.prom a.py", {"a.py": ""}, before=lambda: os.mkfifo("p.prom")),
    Row(
        "shards make d --input i.jsonl --output p.jsonl a.py",
        {"i.jsonl": "{}", "a.py": ""},
        before=lambda: os.mkfifo("p.jsonl"),
    ),
]

ELSEWHERE = {
    "it is a mount point": "tests/errors/test_hard_to_reach.py::test_a_file_that_is_a_mount_point",
}
