"""Which host of how many this is, in which start: settled before hosts meet, or refused with the line to type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ipexlaunch.doctor.job_engine import HOSTS, JOB_OF_MPI, RANK, JobHost, command_for, troubles_of
from ipexlaunch.errors import RequestError
from ipexlaunch.measure.across_hosts import label_of

WANTED = "begin together with other hosts (--across-hosts)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One host of a group."""

    rank: int
    size: int
    """How many hosts there are."""
    job: str
    """The same on all hosts of one start, and another one when it is tried again; "" where nobody says any."""
    name: str
    """Of the host."""

    @property
    def label(self) -> str:
        """ "host h2 (rank 1)"."""
        return label_of(self.name, self.rank)

    @property
    def is_first(self) -> bool:
        """Whether the others come to it."""
        return self.rank == 0


def member_of(here: JobHost, variables: Mapping[str, str], job: str | None) -> Member:
    """Which member of a group a launch is.

    Args:
        here: where it is.
        variables: the environment.
        job: what --job-id says; None where it is not given.

    Raises:
        RequestError: nobody says it, or the launch was started such that cpus or hosts stand idle or are shared.
    """
    for trouble in troubles_of(here):
        raise RequestError(WANTED, trouble.message, f"{trouble.remedy}: {trouble.command}")
    if (here.ranks_here or 1) > 1:
        there = f"{here.ranks_here} ranks were started on {here.name}"
        raise RequestError(WANTED, there, f"start one per host: {command_for(here)}")
    if here.rank is None or here.ranks is None:
        there = "no engine says which host of how many this is"
        if here.rank is not None:
            there = f"nobody says of how many hosts this one, rank {here.rank}, is"
        by_hand = f"--host-rank R --hosts N, or the variables {RANK} and {HOSTS}"
        raise RequestError(WANTED, there, f"{command_for(here)}; or {by_hand}" if here.engine == "slurm" else by_hand)
    if here.rank >= here.ranks:
        raise RequestError(WANTED, f"there is no rank {here.rank} of {here.ranks}", "ranks count from 0")
    return Member(rank=here.rank, size=here.ranks, job=job or _job_of(here, variables), name=here.name)


def _job_of(here: JobHost, variables: Mapping[str, str]) -> str:
    """An engine's id, with mpirun's own where there may be several in one job, and how often Slurm has requeued it."""
    mpi = variables.get(JOB_OF_MPI.get(here.ranked_by, ""), "")
    again = variables.get("SLURM_RESTART_COUNT", "0") if here.engine == "slurm" else "0"
    return " ".join(
        filter(None, [here.job, mpi if mpi != here.job else "", f"restart {again}" if again != "0" else ""])
    )
