"""`shards submit --engine slurm` as a person uses it: a real Slurm that loses a host in the middle of a shard."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.several_hosts.lab import IPEXLAUNCH, wait_for
from tests.several_hosts.shard_jobs import ShardJob, make_job
from tests.several_hosts.slurm_lab import SlurmLab

pytestmark = [pytest.mark.hosts, pytest.mark.slurm, pytest.mark.process]


def submit(slurm: SlurmLab, job: ShardJob, *words: str) -> subprocess.CompletedProcess[str]:
    words = (*IPEXLAUNCH, "shards", "submit", "job", "--engine", "slurm", *words)
    return slurm.run(words, cwd=job.folder)


def array_of(job: ShardJob) -> str:
    (submission,) = json.loads((job.directory / "submitted.json").read_text())["submissions"]
    return str(submission["job"].removeprefix("array "))


def test_slurm_does_every_item_once_though_a_host_dies_in_the_middle_of_a_shard(
    slurm: SlurmLab, tmp_path: Path
) -> None:
    job = make_job(tmp_path / "50 % 'of' \"it\"", items=360, seconds=0.02)
    done = submit(slurm, job, "--engine-option", "time=10", "--engine-option", 'comment=a "b" # c')
    assert done.returncode == 0, done.stderr
    array = array_of(job)
    assert f"Slurm has 6 shards as array {array}" in done.stderr
    wait_for("a shard in the middle on h3", lambda: bool(job.shards_of("h3")))
    (lost,) = job.shards_of("h3")
    slurm.lab.power_off("h3")
    slurm.lose("h3")
    wait_for("the shard in the queue again", lambda: slurm.queued(f"{array}_{lost}") == "PENDING")
    slurm.requeue_now(f"{array}_{lost}", away_from="h3")
    slurm.wait_until_empty()
    logs = {path.name: path.read_text() for path in job.directory.glob("slurm-*.txt")}
    assert job.rows() == job.expected, logs
    assert len(job.attempts(lost)) == 2
    assert "of which attempt 0 had" in logs[f"slurm-{array}_{lost}.txt"]
    assert len(logs) == 7


def test_a_warned_shard_drains_and_is_queued_again_and_a_second_submission_is_told_of_the_first(
    slurm: SlurmLab, tmp_path: Path
) -> None:
    job = make_job(tmp_path / "job", items=120, shards=1, seconds=0.05)
    assert submit(slurm, job).returncode == 0
    array = array_of(job)
    wait_for("some rows", lambda: bool(job.shards_of("h1")))
    slurm.run(["scancel", "--batch", "--signal=USR1", f"{array}_0"], check=True)
    wait_for("the shard in the queue again", lambda: slurm.queued(f"{array}_0") == "PENDING")
    assert "note" not in submit(slurm, job, "--print").stderr
    told = submit(slurm, job, "--engine-option", "hold")
    assert "note: shards 0 were submitted at " in told.stderr
    assert f"(slurm, array {array}), and may be queued or at work" in told.stderr
    slurm.requeue_now(f"{array}_0", away_from="h1")
    wait_for("the shard", lambda: job.done() == 1)
    log = (job.directory / f"slurm-{array}_0.txt").read_text()
    assert "SIGUSR1: nothing more is given" in log
    assert "shard 0, attempt 1: 120 items, of which attempt 0 had" in log


def test_what_is_printed_is_what_a_shell_submits(slurm: SlurmLab, tmp_path: Path) -> None:
    job = make_job(tmp_path / "a b", items=12, shards=2)
    shown = submit(slurm, job, "--print", "--engine-option", "cpus-per-task=1", "--engine-option", "at-once=1")
    assert not (job.directory / "submitted.json").exists()
    assert "--array=0-1%1\n" in shown.stdout
    (tmp_path / "typed.sh").write_text(shown.stdout)
    slurm.run(["bash", tmp_path / "typed.sh"], cwd=tmp_path, check=True)
    slurm.wait_until_empty()
    assert job.rows() == job.expected, [path.read_text() for path in job.directory.glob("slurm-*.txt")]
