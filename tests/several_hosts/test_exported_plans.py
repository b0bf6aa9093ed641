"""`plan --export slurm` as a person uses it: written, submitted as it is, run by a real Slurm on the lab's hosts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.several_hosts.lab import IPEXLAUNCH, wait_for
from tests.several_hosts.slurm_lab import SlurmLab

pytestmark = [pytest.mark.hosts, pytest.mark.slurm, pytest.mark.process]

TELL = """\
import os, sys
from ipexlaunch import worker
worker.ready()
worker.count(items=3)
worker.finish()
cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
print("told", os.environ["IPEXLAUNCH_INDEX"], cpus, sys.argv[1:], os.environ["OUT"], flush=True)
"""
SLOW = """\
import time
from ipexlaunch import worker
for batch in worker.batches():
    time.sleep(0.15)
    batch.done([{"v": 1} for _ in batch.items])
"""


def exported(slurm: SlurmLab, cwd: Path, *words: str) -> Path:
    """The script that the command prints, in a file."""
    done = slurm.run([*IPEXLAUNCH, "plan", *words], cwd=cwd)
    assert done.returncode == 0, done.stderr
    (cwd / "job.sbatch").write_text(done.stdout)
    return cwd / "job.sbatch"


@pytest.mark.parametrize("is_written", [True, False], ids=["written", "by whoever submits"])
def test_slurm_runs_the_script_as_planned(slurm: SlurmLab, is_written: bool, tmp_path: Path) -> None:
    (tmp_path / "a b.py").write_text(TELL)
    words = ["a b.py", "r-{index}", "$HOME 'x'"]
    script = exported(
        slurm,
        tmp_path,
        "--ninstances",
        "1",
        "--env",
        "OUT=o {index}",
        "--export",
        "slurm",
        *(words if is_written else ()),
    )
    given = () if is_written else words
    job = slurm.submit("--output", tmp_path / "out", script, *given, cwd=tmp_path)
    end, out = slurm.end_of(job), (tmp_path / "out").read_text()
    assert end == "COMPLETED", out
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    assert f"told 0 {cpus} ['r-0', \"$HOME 'x'\"] o 0" in out
    assert "host h1, rank 0 of 1, Slurm job 1.0" in out
    assert "VALID" in out
    assert "stands idle" not in out


def test_a_batch_job_that_is_warned_drains_and_is_queued_again(slurm: SlurmLab, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": n}) + "\n" for n in range(30)))
    job = [
        "batch",
        "--resume",
        "--input",
        "in.jsonl",
        "--output",
        "out.jsonl",
        "--batch-size",
        "1",
        "--id-field",
        "id",
        "slow.py",
    ]
    script = exported(slurm, tmp_path, "--ninstances", "1", "--export", "slurm", *job)
    number = slurm.submit("--output", tmp_path / "log", script, cwd=tmp_path)

    def rows() -> list[str]:
        path = tmp_path / "out.jsonl"
        return path.read_text().splitlines() if path.exists() else []

    wait_for("some rows", lambda: len(rows()) > 3)
    slurm.run(["scancel", "--batch", "--signal=USR1", number], check=True)
    wait_for("the job in the queue again", lambda: slurm.queued(number) == "PENDING")
    assert 3 < len(rows()) < 30
    slurm.requeue_now(number, away_from="h1")
    assert slurm.end_of(number) == "COMPLETED"
    assert sorted(json.loads(row)["id"] for row in rows()) == sorted(range(30)), (tmp_path / "log").read_text()
    assert "scontrol" not in (tmp_path / "log").read_text()


def test_three_hosts_are_one_run_with_one_total(slurm: SlurmLab, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(TELL)
    script = exported(
        slurm, tmp_path, "--ninstances", "1", "--env", "OUT=o", "--export", "slurm", "--hosts", "3", "script.py"
    )
    job = slurm.submit("--output", tmp_path / "out", script, cwd=tmp_path)
    end, out = slurm.end_of(job), (tmp_path / "out").read_text()
    assert end == "COMPLETED", out
    assert out.count("told 0") == 3
    assert len([line for line in out.splitlines() if line.startswith("total")]) == 1
    assert {path.name for path in (tmp_path / "runs" / job).glob("host-*")} == {"host-0-h1", "host-1-h2", "host-2-h3"}
