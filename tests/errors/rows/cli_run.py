"""What is to be run: programs, interpreters, libraries and models that are not there, or would not work."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ipexlaunch.cli.run.built_in_workers import resolved
from ipexlaunch.cli.run.watch_run import make_directory_of_logs
from ipexlaunch.launch.job import Job
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.plan.plan import Request
from ipexlaunch.plan.planner import make_plan
from tests.errors.provoke import Row

PLACES = ("cli/run/",)

A = {"a.py": ""}
MODEL = {"m/config.json": json.dumps({"architectures": ["BertModel"], "model_type": "bert"})}
BENCH = "bench --no-cache --duration 1"
OLD_PYTHON = "#!/bin/sh\necho python3.6\n"


def _executable(*names: str) -> None:
    for name in names:
        os.chmod(name, 0o755)


def _on_xpu(engine: str, dtype: str) -> None:
    machine = synthetic_machine("1s 1xpu")
    options: Any = SimpleNamespace(engine=engine, dtype=dtype)
    resolved(
        ModelJob(model="random:bert-base"),
        Job(program="x"),
        make_plan(machine, Request(device="xpu")),
        machine,
        options,
    )


ELF_HEAD = Path("/proc/self/exe").read_bytes()[:64]


def _own_home() -> None:
    os.environ["HOME"] = os.path.abspath("home")


ROWS = [
    # programs
    Row("run nowhere.py"),
    Row("run d", {"d": None}),
    Row("run p", before=lambda: os.mkfifo("p")),
    Row("run -m no_such_module"),
    Row("run --no-python nowhere-at-all"),
    Row("run --no-python ./nowhere"),
    Row("run --no-python ./d", {"d": None}),
    Row("run --no-python ./a.py", A),
    Row("run --python ./nowhere a.py", A),
    Row(
        "bench --model random:bert-base --python ./python",
        {"python": "#!/bin/sh\nexit 1\n"},
        before=lambda: _executable("python"),
    ),
    Row(
        "bench --model random:bert-base --python ./python", {"python": OLD_PYTHON}, before=lambda: _executable("python")
    ),
    Row("run --env A a.py", A),
    Row("run --env A=1 --env A=2 a.py", A),
    Row(lambda: make_directory_of_logs("f/x"), {"f": ""}, name="make_directory_of_logs(below a file)"),
    # libraries
    Row("run --memory-allocator jemalloc --enable-tcmalloc a.py", A),
    Row("run --benchmark a.py", A, {"MALLOC_CONF": "x:1"}),
    Row("run --omp-runtime intel a.py", A),
    Row("run --memory-allocator tcmalloc a.py", A, {"LD_LIBRARY_PATH": "lib"}),
    Row("run --dry-run --auto-ipex a.py", A),
    Row("run --dry-run --auto-ipex --dtype int8 a.py", A),
    Row("run --ninstances 1 --share-start imports --share-start-strict a.py", A),
    Row("run --memory-allocator jemalloc a.py", {**A, "home/.local/lib/libjemalloc.so.2": ELF_HEAD}, before=_own_home),
    # models
    Row(f"{BENCH} --model nobody/nothing"),
    Row(f"{BENCH} --model d", {"d": None}),
    Row(f"{BENCH} --model m", {"m/config.json": "{"}),
    Row(f"{BENCH} --model m", MODEL),
    Row(f"{BENCH} --model random:bert-base --text nowhere"),
    Row(f"{BENCH} --model random:bert-base --text d", {"d": None}),
    Row(f"{BENCH} --model random:bert-base --text t", {"t": "\n\n"}),
    Row(f"{BENCH} --model random:bert-base --text t", {"t": b"\xff\n"}),
    Row(f"{BENCH} --model m --text t --seed 3", {**MODEL, "m/model.safetensors": "", "t": "a text\n"}),
    Row(lambda: _on_xpu("torch", "auto"), name="resolved(engine torch on xpu)"),
    Row(lambda: _on_xpu("auto", "int8"), name="resolved(int8 on xpu)"),
    # several hosts
    Row("run --across-hosts --rendezvous h1:29400 --host-rank 1 --hosts 2 a.py", A),
    Row("run --across-hosts --rendezvous h1:29400 --host-rank 1 --hosts 2 --job-id 7 a.py", A),
]

ELSEWHERE = {
    "slower than fp32 here":
        "tests/models/scripts/test_real_ipex.py::test_what_cannot_be_right_is_refused_before_anything_starts",
    "there is no file {_RUN_SCRIPT}": "tests/errors/test_hard_to_reach.py::test_workers_of_an_ipexlaunch_in_an_archive",
    "it may not be read": "tests/errors/test_hard_to_reach.py::test_a_script_that_may_not_be_read",
}  # fmt: skip
