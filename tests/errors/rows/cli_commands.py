"""The commands: what they need, cannot find, or cannot repeat."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ipexlaunch.cli.batch_output import _make_folder
from ipexlaunch.cli.main import main
from tests.errors.provoke import Row, limited

PLACES = ("cli/batch_", "cli/completion_", "cli/doctor_", "cli/dtypes_", "cli/find_", "cli/loadgen_",
          "cli/plan_command", "cli/replay", "cli/report_", "cli/run_command", "cli/top_", "cli/topology_",
          "cli/tune_")  # fmt: skip

KEPT = Path(__file__).parents[2] / "report/kept_runs/version-1"
A = {"a.py": "", "i.jsonl": '{"n": 1}\n'}
LOADGEN = "loadgen --scenario Offline --qps 1"


def replayed(change: Callable[[str], str], words: str = "run --replay d") -> Row:
    """A kept run whose command was changed."""

    def prepare() -> None:
        shutil.copytree(KEPT, "d")
        run = Path("d/run.yaml")
        run.write_text(change(run.read_text(encoding="utf-8")).replace("/home/user\n", f"{os.getcwd()}\n"))

    return Row(words, A, before=prepare)


def swapped(old: str, new: str) -> Callable[[str], str]:
    """Another word in a text that has it."""

    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


TEXT = {"i.jsonl": '{"n": "a text"}\n'}
REQUEST = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"input": "x"}}) + "\n"


def _export_without_room() -> int:
    return limited(
        5, lambda: main(["plan", "--topology", "2s", "--export", "slurm", "--export-dir", "d", "--", "a.py"])
    )


ROWS = [
    Row(lambda: _make_folder("f/x/o.jsonl"), {"f": ""}, name="_make_folder(below a file)"),
    Row("run"),
    Row("batch --output o.jsonl a.py", A),
    Row("batch --input i.jsonl --output o.jsonl", A),
    Row("batch --input i.jsonl --output o.jsonl --text-field n --model random:bert-base --task forward", TEXT),
    Row(
        "batch --input i.jsonl --output o.jsonl --model random:bert-base --format openai --task classify",
        {"i.jsonl": REQUEST},
    ),
    Row("batch --input i.jsonl --output p a.py", A, before=lambda: os.mkfifo("p")),
    Row("batch --input i.jsonl --output f/x/o.jsonl --overwrite a.py", {**A, "f": ""}),
    Row("doctor --root nowhere"),
    Row("doctor --model nowhere"),
    Row("doctor --model d", {"d": None}),
    Row("dtypes --model random:bert-base --device xpu"),
    Row(f"{LOADGEN} --input i.jsonl", A),
    Row(f"{LOADGEN} --input e.jsonl a.py", {**A, "e.jsonl": ""}),
    Row("topology --topology 2s --save m.tar.gz"),
    Row("plan --topology 2s a.py"),
    Row("plan --topology 2s --export run-cpu"),
    Row(_export_without_room, name="plan --export-dir d (no room)"),
    Row("tune"),
    Row("tune --batch-sizes 1,2 a.py", A),
    Row("tune a.py {batch_size}", A),
    # repeated runs
    replayed(str, "run --replay d a.py"),
    replayed(str, "run --replay d --env A=b"),
    replayed(str, "batch --replay d --output o.jsonl"),
    replayed(swapped("command: run", "command: batch"), "batch --replay d --output o.jsonl"),
    replayed(swapped("grace: 10.0", "grace: [1]")),
    replayed(swapped("grace: 10.0", "grace: long")),
    Row("run --replay d", before=lambda: shutil.copytree(KEPT, "d")),
    replayed(swapped("{A: b}", "{A_TOKEN: '***'}")),
    replayed(swapped("/home/user/venv/bin/python", "/bin/sh")),
]

ELSEWHERE = {
    "draw the page":
        "tests/errors/test_how_to_add.py::test_every_command_that_lacks_a_package_says_how_to_add_it",
}  # fmt: skip
