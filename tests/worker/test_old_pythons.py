"""What scripts import of ours runs in an old Python; what needs a newer one says so before the start."""

from __future__ import annotations

import ast
import glob
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch import worker
from ipexlaunch.cli.run.make_job import workers_module_path
from ipexlaunch.launch.preload_libraries import python_version
from tests.worker.safetensors import write_tensors

OLD_ENOUGH = (3, 6)


@pytest.mark.parametrize(
    "name",
    [
        "__init__.py",
        "worker/__init__.py",
        "worker/batch_loop.py",
        "worker/shared_weights.py",
        "worker/shown_words.py",
        "worker/spent.py",
        "worker/status_channel.py",
        "worker/template.py",
        "worker/import_path/ipexlaunch/__init__.py",
        "worker/fix_pinning/onnxruntime/__init__.py",
    ],
)
def test_what_a_script_imports_is_python_3_6(name: str) -> None:
    source = (Path(worker.__file__).parents[1] / name).read_text()
    tree = ast.parse(source, feature_version=OLD_ENOUGH)
    assert not any(isinstance(node, ast.NamedExpr) for node in ast.walk(tree))
    assert "from __future__ import annotations" not in source
    only_checked = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and id(node) not in only_checked:
            arguments = [*node.args.args, *node.args.kwonlyargs]
            for hint in (node.returns, *(argument.annotation for argument in arguments)):
                assert isinstance(hint, (ast.Name, ast.Constant, type(None))), f"{node.name}: write the type as text"


def old_pythons() -> list[str]:
    """Those that run; a shim that chooses one is none."""
    named = [shutil.which(f"python3.{minor}") for minor in (6, 7, 8, 9)]
    pyenv = shutil.which("pyenv")
    kept: list[str] = []
    if pyenv is not None:
        home = pwd.getpwuid(os.getuid()).pw_dir  # not that of the tests
        told = subprocess.run([pyenv, "root"], env={**os.environ, "HOME": home}, capture_output=True, text=True)
        kept = sorted(glob.glob(f"{told.stdout.strip()}/versions/3.[6-9].*/bin/python"))
    found = [*kept, *filter(None, named)]
    return [python for python in found if Path(python).read_bytes()[:2] != b"#!" and python_version(python, os.environ)]


@pytest.mark.process
def test_a_script_in_an_old_python_takes_part_and_our_own_programs_say_what_they_need(tmp_path: Path) -> None:
    pythons = old_pythons()
    if not pythons:
        pytest.skip("no Python 3.6 to 3.9 here")
    (tmp_path / "script.py").write_text(
        "from ipexlaunch import worker\nprint(len(open(worker.shared_weights_file('.'), 'rb').read()))\n"
        "for batch in worker.batches():\n    batch.done([1] * len(batch))\n"
    )
    write_tensors(tmp_path / "m.safetensors", {"a": ("U8", [7000], bytes(7000))})
    (tmp_path / "in.txt").write_text("a\nb\n")
    python = pythons[0]
    command = [sys.executable, "-m", "ipexlaunch"]
    batch = [
        "batch",
        "--ninstances",
        "1",
        "--input",
        "in.txt",
        "--output",
        "out.jsonl",
        "--python",
        python,
        "script.py",
    ]
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([*command, *batch], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.removeprefix("[0] ")) > 7000, "shared weights, under the launcher"
    ours = {**variables, "PYTHONPATH": workers_module_path()}
    alone = subprocess.run([python, "script.py"], cwd=tmp_path, env=ours, capture_output=True, text=True)
    assert (int(alone.stdout), "batches() has no items here" in alone.stderr) == (int(done.stdout[4:]), True)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    words = ["--ninstances", "2", "--share-start", "imports", "--python", python, "sum.py"]
    (tmp_path / "sum.py").write_text("print(1 + 1)\n")
    if len(os.sched_getaffinity(0)) > 1:
        done = subprocess.run(
            [*command, *words], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60
        )
        assert sorted(done.stdout.splitlines()) == ["[0] 2", "[1] 2"]
        assert "the start is not shared" in done.stderr
        assert "3.10 is needed" in done.stderr
    for name in ("python3", "python3.12"):  # a shim chooses by what the environment says
        (tmp_path / name).write_text('#!/bin/sh\nexec "$CHOSEN" "$@"\n')
        (tmp_path / name).chmod(0o755)
    for line in (
        ["run", "--count-calls", "--python", python, "script.py"],
        ["run", "--count-calls", "--python", "./python3", "--env", f"CHOSEN={python}", "script.py"],
        ["bench", "--model", "random:bert-base", "--python", python],
        ["bench", "--model", "random:bert-base", "--python", "./python3.12", "--env", f"CHOSEN={python}"],
        ["bench", "--model", "random:bert-base", "--python", "./python3", "--env", "CHOSEN=/bin/false"],
    ):
        done = subprocess.run(
            [*command, *line], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        wanted = "it does not answer as a Python does" if "CHOSEN=/bin/false" in line else "3.10 is needed"
        assert wanted in done.stderr


@pytest.mark.process
def test_a_python_in_which_nothing_of_ours_can_be_imported_is_said_to_be_one(tmp_path: Path) -> None:
    """A program that says what such a Python says stands for it; a real one need not be here."""
    (tmp_path / "python").write_text('#!/bin/sh\n[ "$1" = -c ] && echo python2.7\nexit 0\n')
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "script.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "--python", "./python", "script.py"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "./python is Python 2.7; a script that imports ipexlaunch.worker needs 3.6" in done.stderr
