"""Real libraries that leave the slice by themselves: named with their cure, and kept in by --fix-pinning."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.examples.status_channel import without_launcher

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs a cpu outside the slice"),
]


def field(number: int, value: bytes | int) -> bytes:
    """One field of a protocol buffer; texts and numbers below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def tensor(name: bytes) -> bytes:
    dimension = field(1, 1)
    shape = field(2, field(1, dimension))
    return field(1, name) + field(2, field(1, field(1, 1) + shape))


NODE = field(1, b"x") + field(2, b"y") + field(4, b"Identity")
GRAPH = field(1, NODE) + field(2, b"g") + field(11, tensor(b"x")) + field(12, tensor(b"y"))
MODEL = field(1, 8) + field(7, GRAPH) + field(8, field(1, b"") + field(2, 13))
"""A model of ONNX whose answer is its question: the pool of threads comes with the session, whatever it runs."""

BEGIN = "import sys, threading, os\nimport numpy, onnxruntime\nfrom ipexlaunch import worker\n"
END = """
worker.ready()
session.run(None, {"x": numpy.ones(1, dtype="float32")})
worker.count()
worker.finish()
"""
DEFAULT = f"{BEGIN}session = onnxruntime.InferenceSession('model.onnx'){END}"
CHOSEN = f"""{BEGIN}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 3
session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])
assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 0)
{END}"""
OTHER = f"""{BEGIN}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession("model.onnx", options)
moved = threading.Event()

def move():
    os.sched_setaffinity(0, [int(sys.argv[1])])
    moved.set()
    threading.Event().wait()

threading.Thread(target=move, daemon=True).start()
moved.wait()
{END}"""
CHILD = """
import multiprocessing, time

def work(channel):
    import onnxruntime

    session = onnxruntime.InferenceSession("model.onnx")
    channel.send(session.get_session_options().intra_op_num_threads)
    channel.recv()

if __name__ == "__main__":
    import onnxruntime
    from ipexlaunch import worker

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=work, args=(theirs,))
    child.start()
    threads = ours.recv()
    worker.ready()
    worker.count()
    worker.tell(threads_of_child=threads)
    worker.finish()
    ours.send("end")
    child.join()
"""


def run(
    folder: Path, *words: str, script: str = "", variables: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], str]:
    """The report of one instance on the first cpu, in a folder of its own, and what was said."""
    (folder / "model.onnx").write_bytes(MODEL)
    (folder / "script.py").write_text(script)
    options = ["--ninstances", "1", "--cores-list", str(min(os.sched_getaffinity(0))), "--report", "report.json"]
    ran = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "run", *options, *words],
        cwd=folder,
        env=without_launcher(os.environ) | {"IPEXLAUNCH_LOST_TIME": "1"} | dict(variables or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    assert ran.returncode == report["exit_code"], ran.stderr
    return report, ran.stderr


def test_a_session_without_a_number_of_threads_leaves_the_slice_and_is_named_with_its_cure(tmp_path: Path) -> None:
    report, _ = run(tmp_path, "script.py", script=DEFAULT)
    (reason,) = report["reasons"]
    assert "outside its plan" in reason
    assert "ONNX Runtime is loaded there (onnxruntime_pybind11_state" in reason
    assert "set SessionOptions.intra_op_num_threads" in reason
    assert "--fix-pinning does that" in reason


def test_with_fix_pinning_the_same_script_is_valid_and_the_report_says_what_was_done(tmp_path: Path) -> None:
    report, said = run(tmp_path, "--fix-pinning", "script.py", script=DEFAULT)
    assert (report["valid"], report["reasons"]) == (True, [])
    assert "intra_op_num_threads = 1" in report["facts"]["fix_pinning"]
    assert said.count("ipexlaunch: --fix-pinning: sessions of ONNX Runtime have intra_op_num_threads = 1") == 1


@pytest.mark.parametrize("words", [("script.py",), ("--fix-pinning", "script.py")])
def test_a_session_that_says_its_threads_keeps_them_and_nothing_is_said(words: tuple[str, ...], tmp_path: Path) -> None:
    report, said = run(tmp_path, *words, script=CHOSEN)
    assert (report["valid"], report["facts"]) == (True, {})
    assert "fix-pinning" not in said
    assert "ONNX Runtime is loaded there" not in said  # that its three threads crowd one cpu may be


def test_a_thread_of_the_script_that_leaves_is_not_laid_to_a_library_that_is_loaded_too(tmp_path: Path) -> None:
    report, said = run(tmp_path, "script.py", str(max(os.sched_getaffinity(0))), script=OTHER)
    assert not report["valid"]
    assert "outside its plan" in report["reasons"][0]
    assert "ONNX" not in said


def test_fix_pinning_reaches_children_that_begin_anew(tmp_path: Path) -> None:
    report, _ = run(tmp_path, "--fix-pinning", "script.py", script=CHILD)
    assert (report["valid"], report["facts"]["threads_of_child"]) == (True, 1)


def test_where_there_is_no_onnxruntime_fix_pinning_says_so_and_hides_nothing(tmp_path: Path) -> None:
    script = "import importlib.util\nassert importlib.util.find_spec('onnxruntime') is None\n"
    venv.create(tmp_path / "bare", symlinks=True)
    bare = str(tmp_path / "bare/bin/python")
    words = ("--fix-pinning", "--python", bare, "--env", "PYTHONPATH=", "script.py")
    report, said = run(tmp_path, *words, script=script)
    assert report["valid"]
    assert f"--fix-pinning has nothing to do: {bare} has no onnxruntime" in said


OPENMP = """
#include <stdio.h>
#include <unistd.h>
int main(void) {
    #pragma omp parallel num_threads(2)
    { }
    sleep(3);
    return 0;
}
"""


def test_openmp_that_is_told_of_the_hosts_cpus_is_named_too(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a compiler")
    (tmp_path / "program.c").write_text(OPENMP)
    subprocess.run([compiler, "-fopenmp", "program.c", "-o", "program"], cwd=tmp_path, check=True)
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))
    words = ("--no-python", "--proof-interval", "1", "./program")
    report, _ = run(tmp_path, *words, variables={"GOMP_CPU_AFFINITY": cpus})
    assert "OpenMP is loaded there (libgomp.so" in report["reasons"][0]
    assert "leave them unset" in report["reasons"][0]
