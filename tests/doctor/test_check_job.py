"""Hosts and cpus of an engine's job: the good and the bad case of each check."""

from __future__ import annotations

import pytest

from ipexlaunch.doctor.host_files_read import Unavailable
from ipexlaunch.machine.cpulist import parse_list
from tests.doctor.hosts import answer, machine

STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2"}
SLURM = {**STEP, "SLURM_JOB_CPUS_PER_NODE": "8(x2)"}
TWO_EACH = {**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2(x2)"}


@pytest.mark.parametrize(
    ("variables", "allowed", "severity"),
    [
        ({}, "0-7", "ok"),
        (SLURM, "0-7", "ok"),
        (SLURM, "0", "problem"),
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "1(x2)"}, "0", "problem"),
        ({**SLURM, "SLURM_CPUS_PER_TASK": "2"}, "0-1", "note"),
        ({**SLURM, "SLURM_CPUS_PER_TASK": "4"}, "0-1", "problem"),
        (TWO_EACH, "0-3", "note"),
        (TWO_EACH, "0", "problem"),
        (TWO_EACH, "0-7", "problem"),
        ({**SLURM, "SLURM_JOB_CPUS_PER_NODE": "8,2", "SLURM_NODEID": "1"}, "0-1", "ok"),
        ({**SLURM, "SLURM_JOB_CPUS_PER_NODE": "8,2", "SLURM_NODEID": "0"}, "0-1", "problem"),
        ({**SLURM, "SLURM_JOB_CPUS_PER_NODE": "8,2"}, "0-1", "ok"),
        ({**SLURM, "SLURM_JOB_CPUS_PER_NODE": "many"}, "0-7", "unknown"),
        ({"SLURM_JOB_ID": "7"}, "0-7", "unknown"),
        ({**SLURM, "SLURM_JOB_NODELIST": "a[1-2]"}, "0", "ok"),  # typed where salloc was: none of the job's hosts
    ],
)
def test_a_slurm_step_that_got_less_than_its_job_owns_is_found(
    variables: dict[str, str], allowed: str, severity: str
) -> None:
    here = machine(allowed_cpus=frozenset(parse_list(allowed)))
    assert answer("slurm-cpus", topology=here, environment=variables).severity == severity


def test_a_narrow_slurm_step_comes_with_the_srun_line_that_widens_it() -> None:
    found = answer("slurm-cpus", topology=machine(allowed_cpus=frozenset({0})), environment=SLURM)
    assert found.message == "Slurm gave this step 1 of the 8 cpus that the job owns here; the rest stands idle"
    assert found.command == "srun --ntasks-per-node=1 --cpus-per-task=8 ipexlaunch ..."


def test_a_slurm_step_on_cpus_that_nobody_can_read_is_unknown() -> None:
    found = answer("slurm-cpus", topology=Unavailable("/sys", "it is missing"), environment=SLURM)
    assert (found.severity, found.evidence[0].where) == ("unknown", "/sys")


@pytest.mark.parametrize(
    ("variables", "severity", "words"),
    [
        ({}, "ok", "Not started by Slurm"),
        (SLURM, "ok", "This is host h1, rank 0 of 2, Slurm job 7.0"),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "3"}, "problem", "Slurm job 7 has 3 hosts"),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, "ok", "host h1, rank 1 of 2, Open MPI"),
        ({"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALNRANKS": "2"}, "problem", "PMI started 2 ranks here"),
        ({"IPEXLAUNCH_HOST_RANK": "1", "IPEXLAUNCH_HOSTS": "3"}, "ok", "This is host h1, rank 1 of 3"),
    ],
)
def test_hosts_that_stand_idle_or_share_their_cpus_are_found(
    variables: dict[str, str], severity: str, words: str
) -> None:
    found = answer("job-hosts", environment=variables)
    assert found.severity == severity
    assert found.message.startswith(words) or found.message.endswith(words)
