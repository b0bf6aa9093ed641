"""The command line: words that are none, options that do not go together, files with two uses, held outputs."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace

from ipexlaunch.cli.main import main
from ipexlaunch.cli.options.hold_outputs import outputs_held, outputs_of
from ipexlaunch.cli.options.plan_options import visible_only
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.plan.plan import Request
from tests.errors.provoke import Row

PLACES = ("cli/main", "cli/options/", "cli/shards_command")

A = {"a.py": "", "i.jsonl": '{"n": 1}\n'}
BATCH = "batch --input i.jsonl --output o.jsonl"


def refused(words: str, **files: str | None) -> Row:
    """A command with a script and an input."""
    return Row(words, {**A, **files})


def _taken_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return main(["run", "--metrics-port", str(server.getsockname()[1]), "a.py"])


def _locked_ledger() -> None:
    """A job of another process lives as long as this one."""
    holds = (
        "import fcntl, os, sys, time; file = open('o.jsonl.ledger', 'wb'); fcntl.flock(file, fcntl.LOCK_EX); "
        "print(1, flush=True); time.sleep(3)"
    )
    other = subprocess.Popen([sys.executable, "-c", holds], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    other.stdout.close()
    OTHERS.append(other)


OTHERS: list[subprocess.Popen[bytes]] = []


def _hold_below_a_file() -> None:
    with outputs_held(outputs_of({"report_file": "f/x/r.json"})):
        pass


def _parts_of_accelerators() -> None:
    visible_only(
        Request(device="xpu"), replace(synthetic_machine("1s 2xpu"), source="live"), {"ZE_AFFINITY_MASK": "0.1"}
    )


ROWS = [
    # commands
    Row("help nope"),
    Row("shards"),
    Row("shards nope"),
    # values
    refused("run --ninstances two a.py"),
    refused("run --ninstances 0 a.py"),
    refused("run --ncores-per-instance many a.py"),
    refused("run --on-failure explode a.py"),
    refused("run --log-dir l --log-file-prefix a/b a.py"),
    refused("run --across-hosts --rendezvous nowhere a.py"),
    refused("run --across-hosts --rendezvous-ports high a.py"),
    refused(f"{BATCH} --delimiter ab a.py"),
    refused(f"{BATCH} --quote ab a.py"),
    refused("run --report '' a.py"),
    # what does not go together
    refused("run --port 4000 a.py"),
    refused(f"{BATCH} --on-failure stop a.py"),
    refused("tune --timestamps a.py"),
    refused("bench --throughput-regex x"),
    refused("run --port 65536 a.py"),
    Row("top --once --interval 3"),
    refused("run --enable-tcmalloc --enable-jemalloc a.py"),
    refused("run --node-id 0 --nodes-list 0 a.py"),
    refused("loadgen --plan - --input - --qps 1 --scenario Offline a.py"),
    refused("run --log-file-prefix x a.py"),
    refused(f"{BATCH} --look-ahead 2 --batch-size 8 a.py"),
    refused("batch --input i.jsonl --output o.csv a.py"),
    refused("batch --input i.jsonl --output - --output-format parquet a.py"),
    refused("batch --input i.jsonl --output - --resume a.py"),
    refused(f"{BATCH} --format openai a.py"),
    refused("batch --input i.jsonl --output - --format openai --model random:bert-base"),
    # files
    refused("batch --input i.jsonl --output i.jsonl a.py"),
    refused("run --report r --log-dir r/l a.py"),
    refused(f"{BATCH} a.py", **{"o.jsonl.ledger": None}),
    refused("run --report f/x/r.json a.py", f=""),
    Row(_hold_below_a_file, {"f": ""}, name="outputs_held(below a file)"),
    Row("run --report o.jsonl a.py", A, before=_locked_ledger),
    Row(_taken_port, A, name="run --metrics-port (one that is taken) a.py"),
    Row("plan --topology 2s --check p.yaml", {"p.yaml": b"a: \xff"}),
    Row(_parts_of_accelerators, name="visible_only(ZE_AFFINITY_MASK=0.1)"),
    refused("run --ninstances 9999 a.py"),
]

ELSEWHERE = {
    "_hold: LaunchError({wanted} | {str(error.strerror)} | give a path that can be written)":
        "tests/cli/test_hold_outputs.py::test_what_is_made_for_a_hold_goes_with_it",
}  # fmt: skip
"""Another launch that ends removes the directory between two calls, time and again."""
