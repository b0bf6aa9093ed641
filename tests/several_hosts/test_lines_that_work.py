"""What docs/several-hosts.md says of engines' lines, with real engines on three hosts; what is said is then typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.several_hosts.lab import IPEXLAUNCH, ROOT
from tests.several_hosts.remote_shell import RemoteShell
from tests.several_hosts.slurm_lab import SlurmLab

CPUS = len(os.sched_getaffinity(0))
SCRIPT = "from ipexlaunch import worker\nworker.ready()\nworker.count(items=3)\nworker.finish()\n"

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.process,
    pytest.mark.skipif(CPUS < 2, reason="it takes a host of two cpus to leave one idle"),
]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path / "script.py"


def said(done: subprocess.CompletedProcess[str], engine: str) -> str:
    """The line to type, which every launch that complains names."""
    (line,) = {text.partition(f": {engine} ")[2] for text in done.stderr.splitlines() if f": {engine} " in text}
    return line


def words_of(line: str) -> list[str]:
    """Its options; ours stand behind them."""
    return line.partition(" ipexlaunch")[0].split()


def hosts_that_worked(done: subprocess.CompletedProcess[str]) -> set[str]:
    assert done.returncode == 0, done.stderr
    return {name for name in ("h1", "h2", "h3") if f"ipexlaunch: host {name}" in done.stderr}


@pytest.mark.slurm
def test_a_step_of_one_cpu_a_host_is_said_with_a_line_that_uses_all(slurm: SlurmLab, script: Path) -> None:
    words = ["srun", "-N3", "--ntasks-per-node=1", "--exclusive", *IPEXLAUNCH, str(script)]
    narrow = slurm.run(words)
    assert hosts_that_worked(narrow) == {"h1", "h2", "h3"}
    assert f"Slurm gave this step 1 of the {CPUS} cpus that the job owns here; the rest stands idle" in narrow.stderr
    line = said(narrow, "srun")
    assert f"--cpus-per-task={CPUS}" in line
    wide = slurm.run(["srun", "--exclusive", *words_of(line), *IPEXLAUNCH, str(script)])
    assert hosts_that_worked(wide) == {"h1", "h2", "h3"}
    assert "stands idle" not in wide.stderr


@pytest.mark.slurm
def test_a_batch_script_of_three_hosts_without_srun_is_said_with_the_line_for_it(
    slurm: SlurmLab, script: Path, tmp_path: Path
) -> None:
    def submit(line: str) -> subprocess.CompletedProcess[str]:
        text = f"#!/bin/bash\n{line} {sys.executable} -m ipexlaunch {script}\n"
        (tmp_path / "job.sh").write_text(text)
        job = slurm.submit("-N3", "--exclusive", "--output", tmp_path / "out", tmp_path / "job.sh")
        code = 0 if slurm.end_of(job) == "COMPLETED" else 1
        return subprocess.CompletedProcess([], code, "", (tmp_path / "out").read_text())

    alone = submit("")
    assert hosts_that_worked(alone) == {"h1"}
    assert "has 3 hosts, and without srun h1 alone works; start one launch on each" in alone.stderr
    together = submit(" ".join(["srun", *words_of(said(alone, "srun"))]))
    assert hosts_that_worked(together) == {"h1", "h2", "h3"}
    assert "alone works" not in together.stderr
    assert "stands idle" not in together.stderr


@pytest.mark.slurm
def test_a_shell_of_salloc_is_said_with_the_line_for_it(slurm: SlurmLab, script: Path) -> None:
    alone = slurm.run(["salloc", "-N3", "--exclusive", *IPEXLAUNCH, str(script)])
    assert hosts_that_worked(alone) == {"h1"}
    assert "has 3 hosts, and without srun h1 alone works" in alone.stderr
    step = ["srun", *words_of(said(alone, "srun"))]
    together = slurm.run(["salloc", "-N3", "--exclusive", *step, *IPEXLAUNCH, str(script)])
    assert hosts_that_worked(together) == {"h1", "h2", "h3"}


@pytest.mark.slurm
def test_the_interactive_step_of_salloc_is_no_rank_either(slurm: SlurmLab, script: Path) -> None:
    # With use_interactive_step salloc starts the shell as a step on the first host; its number is not one of ours.
    line = f"{sys.executable} -m ipexlaunch {script}; exit\n"
    shell = slurm.lab.on(
        "h1", ["script", "-qec", "salloc -N3 --exclusive", "/dev/null"], cwd=ROOT,
        env={**slurm.variables, "SHELL": "/bin/sh", "COLUMNS": "400"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    out, _ = shell.communicate(line, timeout=100)
    assert "without srun h1 alone works" in " ".join(out.split())
    assert "rank" not in out


def test_two_ranks_of_mpirun_on_one_core_each_are_said_with_a_line_that_uses_all(
    remote_shell: RemoteShell, script: Path
) -> None:
    lab, mpirun = remote_shell.lab, [*remote_shell.mpirun(), "-x", "PYTHONPATH", "-x", "IPEXLAUNCH_LOST_TIME"]
    words = [*IPEXLAUNCH, str(script)]
    bound = lab.run("h1", [*mpirun, "-n", "2", "--map-by", "ppr:1:node", *words])
    assert hosts_that_worked(bound) == {"h1", "h2"}
    assert f"Open MPI gave this rank 1 of the {CPUS} cpus of this host; the rest stands idle" in bound.stderr
    free = lab.run("h1", [*mpirun, *words_of(said(bound, "mpirun")), *words])
    assert hosts_that_worked(free) == {"h1", "h2", "h3"}
    assert "stands idle" not in free.stderr
    assert all(f"host h{rank + 1}, rank {rank} of 3" in free.stderr for rank in range(3))
