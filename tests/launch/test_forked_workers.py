"""Forked workers as no planner would place them: many on few cpus, and with several threads each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shared_starts import environment
from tests.examples.run_examples import torch_python

pytestmark = pytest.mark.process

LAUNCHER = str(Path(__file__).with_name("hand_made_launch.py"))
CPUS = sorted(os.sched_getaffinity(0))


def launch(script: Path, places: list[dict[str, object]], mode: str, python: str = sys.executable) -> dict[str, Any]:
    """Start workers in these places, and return the report of the run, which ended with 0."""
    done = subprocess.run(
        [sys.executable, LAUNCHER, python, json.dumps(places), mode, "own", str(script)],
        env=environment(OPENBLAS_NUM_THREADS="7"), capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


MANY = """
import os
from ipexlaunch import worker
worker.split()
worker.tell(cpus=sorted(os.sched_getaffinity(0)), index=worker.index, of=os.getppid())
worker.ready()
worker.count(2)
"""


@pytest.mark.parametrize("mode", ["imports", "model"])
def test_many_workers_are_forked_each_on_its_own_cpus(tmp_path: Path, mode: str) -> None:
    (tmp_path / "many.py").write_text(MANY)
    places: list[dict[str, object]] = [
        {"cpus": [CPUS[i % len(CPUS)]], "nodes": [0], "threads": 1} for i in range(64)
    ]  # fmt: skip
    report = launch(tmp_path / "many.py", places, mode)
    facts = [instance["facts"] for instance in report["instances"]]
    assert [each["index"] for each in facts] == list(range(64))
    assert [each["cpus"] for each in facts] == [place["cpus"] for place in places]
    assert report["throughput"]["items"] == 128
    assert not any("not shared" in warning for warning in report["warnings"])


THREADS = """
import ctypes, os, sys, threading
import torch, numpy
from ipexlaunch import worker
def libraries(name):
    with open("/proc/self/maps") as file:
        return {line.split()[-1] for line in file if name in line}
def look():
    openmp = [ctypes.CDLL(path).omp_get_max_threads() for path in sorted(libraries("libgomp"))]
    blas = [ctypes.CDLL(path).scipy_openblas_get_num_threads64_() for path in libraries("libscipy_openblas64")]
    return [torch.get_num_threads(), openmp, blas]
found = []
thread = threading.Thread(target=lambda: found.append(look()))
worker.split()
thread.start()
thread.join()
cpus = os.sched_getaffinity(0)
torch.rand(2000, 2000) @ torch.rand(2000, 2000)
numpy.ones((2000, 2000)) @ numpy.ones((2000, 2000))
tasks = [int(name) for name in os.listdir("/proc/self/task")]
worker.tell(main=look(), thread=found[0], tasks=len(tasks), inside=all(os.sched_getaffinity(t) == cpus for t in tasks),
            named=sorted(k for k in os.environ if "THREADS" in k), drawn=torch.rand(1).item())
worker.ready()
worker.count()
"""


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.skipif(len(CPUS) < 2, reason="two threads need two cpus")
def test_a_forked_worker_has_as_many_threads_as_it_has_alone_all_on_its_cpus(tmp_path: Path) -> None:
    (tmp_path / "threads.py").write_text(THREADS)
    places: list[dict[str, object]] = [{"cpus": CPUS[:2], "nodes": [0], "threads": 2}] * 2
    found = {}
    for mode in ("no", "imports", "model"):
        report = launch(tmp_path / "threads.py", places, mode, torch_python())
        assert not any("not shared" in warning for warning in report["warnings"])
        found[mode] = [instance["facts"] for instance in report["instances"]]
        assert all(facts["inside"] for facts in found[mode])
        assert len({facts.pop("drawn") for facts in found[mode]}) == 2
    alone = found["no"][0]
    assert alone["main"] == [2, [2], [2]]
    assert found["imports"] == [alone, alone]
    # One that calculates before the fork has one thread: what OpenMP keeps for new threads is that, torch's is not.
    assert [facts.pop("thread") for facts in found["model"]] == [[2, [1], [2]]] * 2
    # Telling torch its number starts a pool of NNPACK's beside OpenMP's.
    del alone["thread"]
    assert found["model"] == [{**alone, "tasks": alone["tasks"] + 1}] * 2
