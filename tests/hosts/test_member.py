"""Which host of how many, by whose word; what was started wrong is refused with the line that works."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ipexlaunch.doctor.job_engine import job_host
from ipexlaunch.errors import RequestError
from ipexlaunch.hosts.member import Member, member_of

SEEN = yaml.safe_load((Path(__file__).parents[1] / "data" / "job-environments.yaml").read_text(encoding="utf-8"))


def member(variables: dict[str, str], job: str | None = None) -> Member:
    return member_of(job_host(variables, "vm", None), variables, job)


def refusal(variables: dict[str, str]) -> str:
    with pytest.raises(RequestError) as error:
        member(variables)
    return str(error.value)


RANKED = {"IPEXLAUNCH_HOST_RANK": "1", "IPEXLAUNCH_HOSTS": "3"}
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_LOCAL_SIZE": "1"}
STEP = {
    "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_NUM_NODES": "3", "SLURM_STEP_TASKS_PER_NODE": "1(x3)", "SLURM_NODEID": "1", "SLURMD_NODENAME": "h2",
}  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "rank", "job", "name"),
    [
        (RANKED, 1, "", "vm"),
        ({**STEP, **OPEN_MPI, **RANKED}, 1, "7", "h2"),
        ({**OPEN_MPI, "PMIX_NAMESPACE": "n1"}, 2, "n1", "vm"),
        ({**STEP, **OPEN_MPI, "PMIX_NAMESPACE": "n1"}, 2, "7 n1", "h2"),
        ({"PMI_RANK": "0", "PMI_SIZE": "3"}, 0, "", "vm"),
        (STEP, 1, "7.0", "h2"),
        ({**STEP, "SLURM_RESTART_COUNT": "2"}, 1, "7.0 restart 2", "h2"),
        ({**STEP, "SLURM_RESTART_COUNT": "0"}, 1, "7.0", "h2"),
    ],
)
def test_the_first_who_says_it_is_believed(variables: dict[str, str], rank: int, job: str, name: str) -> None:
    assert member(variables) == Member(rank=rank, size=3, job=job, name=name)
    assert member(variables, "given").job == "given"


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({}, "no engine says which host of how many this is; --host-rank R --hosts N"),
        ({**RANKED, "IPEXLAUNCH_HOST_RANK": "3"}, "there is no rank 3 of 3"),
        ({"KUBERNETES_SERVICE_HOST": "x", "JOB_COMPLETION_INDEX": "1"}, "of how many hosts this one, rank 1, is"),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, "2 ranks were started on vm; start one per host: mpirun"),
        ({**STEP, "SLURM_STEP_TASKS_PER_NODE": "1,2"}, "2 ranks were started on h2; start one per host: srun"),
        (
            {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "3", "SLURMD_NODENAME": "h1", "SLURM_PROCID": "0",
             "SLURM_NTASKS": "3"},
            "without srun h1 alone works; start one launch on each: srun --nodes=3 --ntasks=3",
        ),
    ],
)  # fmt: skip
def test_what_was_started_otherwise_is_refused(variables: dict[str, str], why: str) -> None:
    assert why in refusal(variables)


@pytest.mark.parametrize("started", SEEN)
def test_every_start_that_was_seen_is_a_member_or_is_refused(started: str) -> None:
    variables = SEEN[started]["variables"]
    try:
        found: Member | RequestError = member(variables)
    except RequestError as error:
        found = error
    assert found.hint if isinstance(found, RequestError) else 0 <= found.rank < found.size
