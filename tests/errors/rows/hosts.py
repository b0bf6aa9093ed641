"""Several hosts: who starts how, directories that another start has, and engines that are told something wrong."""

from __future__ import annotations

import os
import socket

from ipexlaunch.doctor.job_engine import job_host
from ipexlaunch.hosts.find_each_other import check_directory_of_member, host_directory, open_listener
from ipexlaunch.hosts.member import Member, member_of
from ipexlaunch.hosts.submit.pending_shards import PendingShards
from ipexlaunch.hosts.submit.slurm_array import array_scripts
from tests.errors.provoke import Row

PLACES = ("hosts/",)

A = {"a.py": ""}
MEMBER = Member(rank=1, size=2, job="7", name="h2")
ACROSS = "run --across-hosts --run-dir d --job-id 7"
BATCH = {"a.py": "", "i.jsonl": '{"x": 1}\n' * 4}
CLEAN = dict.fromkeys(["SLURM_JOB_ID", "SLURM_NTASKS", "OMPI_COMM_WORLD_RANK", "PMI_RANK"], "")


def _in_directory(path: str) -> None:
    with host_directory(path, MEMBER):
        pass


def _taken_port() -> None:
    with socket.create_server(("", 0)) as taken:
        open_listener([taken.getsockname()[1]])


def submitted(engine: str, *options: str, **files: str) -> Row:
    """A job of four lines and two shards, submitted."""
    words = " ".join(f"--engine-option {option}" for option in options)
    return Row(f"shards submit d --engine {engine} {words}", BATCH, before=_make_job, variables=CLEAN | files)


def _make_job() -> None:
    from ipexlaunch.cli.main import main

    words = ["shards", "make", "d", "--input", "i.jsonl", "--output", "o.jsonl", "--shards", "2", "a.py"]
    assert main(words) == 0


def _make_job_and_program() -> None:
    os.chmod("bin/sbatch", 0o755)
    _make_job()


def _pending(directory: str) -> PendingShards:
    return PendingShards(directory=directory, indices=(0, 1), of=2)


K = ("image=x", "host-path=/")

ALONE = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NUM_NODES": "3",
    "SLURMD_NODENAME": "h1",
    "SLURM_PROCID": "0",
    "SLURM_NTASKS": "3",
}
TWICE = {
    "OMPI_COMM_WORLD_RANK": "0",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
}

ROWS = [
    # who we are
    Row(f"{ACROSS} a.py", A, CLEAN | ALONE),
    Row(lambda: member_of(job_host(TWICE, "vm", None), TWICE, None), name="member_of(two ranks on a host)"),
    Row(f"{ACROSS} a.py", A, CLEAN),
    Row(f"{ACROSS} --host-rank 1 a.py", A, CLEAN),
    Row(f"{ACROSS} --host-rank 5 --hosts 2 a.py", A, CLEAN),
    # directories and ports
    Row(lambda: _in_directory("d"), {"d/host-1-h2": None}, name="host_directory(made by another start)"),
    Row(lambda: check_directory_of_member("d", MEMBER), {"d/group.json": "{}"}, name="check_directory_of_member(used)"),
    Row(_taken_port, name="open_listener(a port that is taken)"),
    # engines
    submitted("kubernetes", "nope"),
    submitted("kubernetes", "-"),
    submitted("kubernetes", "image=a", "image=b"),
    submitted("kubernetes", "nope=1"),
    submitted("kubernetes", "image="),
    submitted("kubernetes", "claim=a:/b"),
    submitted("kubernetes", "image=x"),
    submitted("kubernetes", "image=x", "claim=nowhere"),
    submitted("kubernetes", "image=x", "host-path=/not/here"),
    submitted("kubernetes", *K),
    submitted("kubernetes", *K, "memory=1GiB", "cpus=none"),
    submitted("kubernetes", *K, "memory=1GiB", "name=A_b"),
    submitted("slurm", PATH="/nowhere"),
    submitted("slurm", "array=1"),
    submitted("slurm", "at-once=none"),
    submitted("slurm", "comment='a\tb'"),
    Row(
        "shards submit d --engine slurm",
        {**BATCH, "bin/sbatch": "#!/bin/sh\necho no such partition >&2; exit 1"},
        {**CLEAN, "PATH": "bin:/usr/bin:/bin"},
        before=_make_job_and_program,
    ),
    Row(lambda: array_scripts(_pending("/a\nb"), {}), name="array_scripts(a line break in DIR)"),
    Row(lambda: array_scripts(_pending("/a\\b"), {}), name="array_scripts(a backslash in DIR)"),
]

ELSEWHERE: dict[str, str] = {}
