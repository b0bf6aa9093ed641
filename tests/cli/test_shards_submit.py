"""`shards submit` where no engine is: done here, shown, refused; tests/several_hosts has it under Slurm and Ray."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from ipexlaunch.plan.export_kubernetes import LAUNCHER_BYTES
from tests.plan.kubernetes_schemas import check_manifest
from tests.several_hosts.lab import IPEXLAUNCH, ROOT, wait_for
from tests.several_hosts.shard_jobs import ShardJob, make_job

pytestmark = pytest.mark.process

IMAGE = "image=registry/image:1"


def words_of(job: ShardJob, engine: str, *options: str, more: tuple[str, ...] = ()) -> list[str]:
    given = [word for option in options for word in ("--engine-option", option)]
    return [*IPEXLAUNCH, "shards", "submit", str(job.directory), "--engine", engine, *given, *more]


def submit(
    job: ShardJob, engine: str, *options: str, more: tuple[str, ...] = (), env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words_of(job, engine, *options, more=more), cwd=job.folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}, timeout=200, check=False,
    )  # fmt: skip


@pytest.fixture
def job(tmp_path: Path) -> ShardJob:
    return make_job(tmp_path / "a b", items=12, shards=3, seconds=0.001)


def test_local_does_what_is_not_done_and_merges(job: ShardJob) -> None:
    first = [*IPEXLAUNCH, "shards", "run", str(job.directory), "--index", "1"]
    subprocess.run(first, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    shown = submit(job, "local", more=("--print",))
    assert [line.split()[-1] for line in shown.stdout.splitlines()[:-1]] == ["0", "2"]
    done = submit(job, "local")
    assert done.returncode == 0, done.stderr
    assert job.rows() == job.expected
    assert [len(job.attempts(shard)) for shard in range(3)] == [1, 1, 1]
    again = submit(job, "slurm")
    assert (again.returncode, again.stdout) == (0, "")
    assert "all 3 shards are done; next: ipexlaunch shards merge" in again.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGUSR1, 75), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_to_local_ends_the_shard_at_work_and_begins_no_other(number: int, code: int, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", items=60, shards=2, seconds=0.2)
    process = subprocess.Popen(
        words_of(job, "local"), cwd=job.folder, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "IPEXLAUNCH_LOST_TIME": "1"},
    )  # fmt: skip
    wait_for("some rows", lambda: bool(job.shards_of(os.uname().nodename)))
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "stopped after 1 of 2 shards; to go on, submit again" in said
    assert (len(job.attempts(0)), len(job.attempts(1)), job.done()) == (1, 0, 0)


def test_a_shard_that_fails_does_not_keep_the_others_from_being_done(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", items=12, shards=3, seconds=0.001)
    (job.directory / "shard-00001").write_text("no folder")
    done = submit(job, "local")
    assert done.returncode == 2
    assert job.done() == 2
    assert "shards run" in done.stderr.partition("1 shard of 3 not done")[2]


@pytest.mark.parametrize(
    ("options", "resources"),
    [
        (("cpus=8", "memory=2GiB"), {"cpu": "8", "memory": str(2 << 30)}),
        (("memory=2GiB", "at-once=2", "tries=5", "name=mine", "namespace=space"), {"memory": str(2 << 30)}),
    ],
)
def test_kubernetes_takes_the_job(options: tuple[str, ...], resources: dict[str, str], job: ShardJob) -> None:
    done = submit(job, "kubernetes", IMAGE, f"claim=data:{job.folder.parent}", *options, more=("--print",))
    assert done.returncode == 0, done.stderr
    (job.folder / "job.yaml").write_text(done.stdout)
    check_manifest(job.folder / "job.yaml")
    manifest = yaml.safe_load(done.stdout)
    spec = manifest["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert (spec["completions"], spec["completionMode"]) == (3, "Indexed")
    assert container["command"][:4] == ["ipexlaunch", "shards", "run", str(job.directory)]
    assert resources.items() <= container["resources"]["limits"].items()
    assert container["resources"]["limits"] == container["resources"]["requests"]
    if "tries=5" in options:
        assert (spec["parallelism"], spec["backoffLimitPerIndex"]) == (2, 5)
        assert manifest["metadata"] == {"name": "mine", "namespace": "space"}


def test_a_pod_is_as_large_as_the_jobs_plan(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", items=12, shards=3, more=("--memory-per-instance", "1GiB"))
    done = submit(job, "kubernetes", IMAGE, f"host-path={job.folder}", more=("--print",))
    assert done.returncode == 0, done.stderr
    (container,) = yaml.safe_load(done.stdout)["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == str((1 << 30) + LAUNCHER_BYTES)


def test_pods_that_are_larger_than_this_host_are_described_by_hand(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", items=12, shards=3, more=("--ncores-per-instance", "999"))
    volume = f"host-path={job.folder}"
    refused = submit(job, "kubernetes", IMAGE, volume, "memory=1GiB", more=("--print",))
    assert refused.returncode == 2
    assert "--engine-option cpus=N --engine-option memory=SIZE" in refused.stderr
    assert submit(job, "kubernetes", IMAGE, volume, "memory=1GiB", "cpus=999", more=("--print",)).returncode == 0


@pytest.mark.parametrize(
    ("engine", "options", "said"),
    [
        ("slurm", (), "cannot submit 3 shards to slurm: sbatch is not on PATH here; type this on a host of the"),
        ("kubernetes", (IMAGE, "host-path=/", "memory=1GiB"), "kubectl is not on PATH here; type this where"),
        ("slurm", ("array=1-2",), "--engine-option array is not for slurm: the shards that are not done are its"),
        ("slurm", ("at-once=0",), "at-once=0 is no whole number above 0"),
        ("slurm", ("time=1", "time=2"), "--engine-option time is given twice"),
        ("slurm", ("=1",), "'=1' is no NAME=VALUE"),
        ("slurm", ("comment=a\nb",), "cannot stand in a batch script"),
        ("kubernetes", (), "give --engine-option image=IMAGE"),
        ("kubernetes", (IMAGE,), "no pod sees DIR by itself"),
        ("kubernetes", (IMAGE, "host-path=/elsewhere"), "is not below it"),
        ("kubernetes", (IMAGE, "claim=data"), "is no CLAIM:/PATH"),
        ("kubernetes", (IMAGE, "host-path=/"), "pods that ask for memory too"),
        ("kubernetes", (IMAGE, "host-path=/", "memory=1GiB", "name=A_b"), "is no name"),
        ("ray", ("partition=x",), "--engine-option partition is none of ray: address"),
        ("ray", ("cpus=many",), "cpus=many is no whole number above 0"),
        ("ray", ("cpus",), "--engine-option cpus has no value"),
        ("local", ("a=b",), "--engine-option a is none of local: it has none"),
    ],
)
def test_what_cannot_be_submitted_is_refused_in_a_line(
    engine: str, options: tuple[str, ...], said: str, job: ShardJob
) -> None:
    done = submit(job, engine, *options, env={"PATH": "/nowhere"})
    assert done.returncode in (1, 2), done.stderr
    (line,) = done.stderr.splitlines()
    assert said in line
    assert not (job.directory / "submitted.json").exists()


def test_without_ray_the_extra_is_named(job: ShardJob) -> None:
    if shutil.which("ray") is not None:
        pytest.skip("Ray is installed here")
    done = submit(job, "ray")
    assert done.stderr.count("\n") == 1
    assert 'has no Ray; pip install "ipexlaunch[ray]"' in done.stderr


def test_an_engine_that_refuses_is_quoted_and_nothing_is_noted(job: ShardJob, tmp_path: Path) -> None:
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: no\n such partition' >&2\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    done = submit(job, "slurm", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "sbatch ended with 1: sbatch: error: no; such partition" in done.stderr
    assert not (job.directory / "submitted.json").exists()


def test_a_job_of_a_later_version_is_refused_with_its_place(job: ShardJob) -> None:
    path = job.directory / "job.yaml"
    path.write_text(path.read_text().replace("ipexlaunch/shards/1", "ipexlaunch/shards/99"))
    done = submit(job, "local")
    assert done.returncode == 2
    assert "job.yaml" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_printed_may_be_cut_off_by_whoever_reads_it(job: ShardJob) -> None:
    words = words_of(job, "slurm", more=("--print",))
    shown = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert shown.stdout is not None
    shown.stdout.close()
    assert shown.stderr is not None
    assert "Traceback" not in shown.stderr.read()
    shown.wait()
    shown.stderr.close()


def test_the_driver_of_ray_is_shown_as_a_line_for_a_shell(job: ShardJob) -> None:
    done = submit(job, "ray", "hosts=2", more=("--print",))
    assert done.stdout.count("\n") == 1
    words = subprocess.run(["bash", "-c", f"printf '%s\\n' {done.stdout}"], capture_output=True, text=True, check=True)
    directive = json.loads(words.stdout.splitlines()[-1])
    assert (directive["directory"], directive["indices"], directive["hosts"]) == (str(job.directory), [0, 1, 2], 2)
    assert words.stdout.splitlines()[0] == sys.executable
