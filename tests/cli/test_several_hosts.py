"""What `run`, `report` and `doctor` say on the hosts of a job, as users see it; one test with a real Slurm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from tests.plan.slurm import cluster

ROOT = Path(__file__).parents[2]
SEEN = yaml.safe_load((ROOT / "tests" / "data" / "job-environments.yaml").read_text(encoding="utf-8"))
PROGRAM = [sys.executable, "-m", "ipexlaunch"]
SCRIPT = "from ipexlaunch import worker\nworker.ready()\nworker.count(items=3)\nworker.finish()\n"

pytestmark = pytest.mark.process


def run(
    words: Sequence[str], cwd: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(variables or {})},
        timeout=200,
        check=False,
    )


def variables_of(started: str, **changes: str) -> dict[str, str]:
    return {**SEEN[started]["variables"], **changes}


@pytest.fixture
def script(tmp_path: Path) -> str:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    return "script.py"


def test_hosts_of_a_job_are_named_wherever_their_runs_are_kept_and_shown(script: str, tmp_path: Path) -> None:
    for rank in range(3):
        changes = {"SLURMD_NODENAME": f"h{rank + 1}", "SLURM_PROCID": str(rank), "SLURM_NODEID": str(rank)}
        started = variables_of("srun -N3 --ntasks-per-node=1 -c2", SLURM_JOB_CPUS_PER_NODE="1(x3)", **changes)
        done = run([*PROGRAM, "--ninstances", "1", "--run-dir", f"rd-{rank}", script], tmp_path, started)
        assert done.returncode == 0, done.stderr
        place = f"host h{rank + 1}, rank {rank} of 3, Slurm job 3.0"
        assert f"ipexlaunch: {place}\n" in done.stderr
        assert f"  on {place}\n" in done.stderr
        kept = yaml.safe_load((tmp_path / f"rd-{rank}" / "run.yaml").read_text(encoding="utf-8"))["host"]
        report = json.loads((tmp_path / f"rd-{rank}" / "report.json").read_text(encoding="utf-8"))
        assert kept == report["host"]
        assert (kept["name"], kept["job"], kept["rank"]) == (f"h{rank + 1}", "3.0", rank)
        assert report["warnings"] == [] or "Slurm" not in str(report["warnings"])
    together = run([*PROGRAM, "report", "rd-0", "rd-1", "rd-2"], tmp_path).stdout
    assert all(f"h{rank + 1} (rank {rank})" in together for rank in range(3))
    assert "3 hosts of one job, no repeats, and no total" in together
    page = run([*PROGRAM, "report", "rd-0", "rd-1", "rd-2", "--html", "page.html"], tmp_path)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.returncode == 0, page.stderr
    assert "<h2>rd-1: host h2, rank 1 of 3</h2>" in text
    assert "<dt>host</dt><dd>host h2, rank 1 of 3, Slurm job 3.0</dd>" in text


@pytest.mark.parametrize(
    ("started", "message", "line"),
    [
        ("srun -N3 --ntasks-per-node=1 --exclusive", "gave this step", "--ntasks-per-node=1 --cpus-per-task=9999"),
        ("sbatch -N3 --exclusive", "without srun h1 alone works", "srun --nodes=3 --ntasks=3 --ntasks-per-node=1"),
        ("salloc -N3 --exclusive", "is none of them", "srun --nodes=3 --ntasks=3 --ntasks-per-node=1"),
    ],
)
def test_what_leaves_hosts_or_cpus_idle_is_said_before_the_start_and_in_the_report(
    started: str, message: str, line: str, script: str, tmp_path: Path
) -> None:
    variables = variables_of(started, SLURM_JOB_CPUS_PER_NODE="9999(x3)")
    done = run([*PROGRAM, "--ninstances", "1", "--report", "report.json", script], tmp_path, variables)
    assert done.returncode == 0, done.stderr
    before = done.stderr.partition(" 1 instance ")[2].partition("items/s")[0]
    assert message in before
    assert line in before
    warnings = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["warnings"]
    assert any(message in warning and line in warning for warning in warnings)
    refused = run([*PROGRAM, "--ninstances", "9999", script], tmp_path, variables)
    assert refused.returncode == 2
    assert message in refused.stderr
    judged = json.loads(run([*PROGRAM, "doctor", "--format", "json"], tmp_path, variables).stdout)
    found = [each for each in judged["findings"] if each["check"] in ("job-hosts", "slurm-cpus")]
    assert any(message in each["message"] and line in each["command"] for each in found)


@pytest.mark.slurm
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it takes a host of two cpus to leave one idle")
def test_the_line_that_a_narrow_step_of_a_real_slurm_names_is_one_that_works(script: str, tmp_path: Path) -> None:
    (tmp_path / "slurm").mkdir()
    with cluster(tmp_path / "slurm") as environment:
        narrow = run(["srun", "-N1", "--ntasks-per-node=1", "--exclusive", *PROGRAM, script], tmp_path, environment)
        (line,) = {text.partition(": srun ")[2] for text in narrow.stderr.splitlines() if ": srun " in text}
        assert "cpus that the job owns here; the rest stands idle" in narrow.stderr
        assert "--cpus-per-task=" in line
        options = line.partition(" ipexlaunch")[0].split()
        wide = run(["srun", "--exclusive", *options, *PROGRAM, script], tmp_path, environment)
    assert wide.returncode == 0, wide.stderr
    assert "rank 0 of 1, Slurm job 2.0" in wide.stderr
    assert "stands idle" not in wide.stderr
