"""Which engine started this process, where in its job that is, and which of the job's cpus it may use.

Pure: variables in, value out. Whoever starts for another is asked last: the daemons of mpirun are tasks of srun, so
what mpirun starts has Slurm's numbers of the daemons, not its own.

Sources: man sbatch, salloc and srun (output environment variables); slurm.h (SLURM_MAX_NORMAL_STEP_ID); mpirun(1) of
Open MPI (OMPI_COMM_WORLD_*); PMI-1 and Intel MPI's reference (PMI_RANK, MPI_LOCALNRANKS); Kubernetes, "Indexed Job"
(JOB_COMPLETION_INDEX, host names); Ray, worker_pool.cc (RAY_RAYLET_PID, RAY_JOB_ID). What each really sets was looked
at under Slurm 22.05, Open MPI 4.1, Intel MPI 2021.18 and Ray 2.60; of Kubernetes it is from its documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ipexlaunch.doctor.slurm_lists import host_names, numbers_in
from ipexlaunch.documents.fields import OMITTED, NonNegativeInt
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.wording import counted

RANK, HOSTS = "IPEXLAUNCH_HOST_RANK", "IPEXLAUNCH_HOSTS"
"""Say the rank where no engine does; they win over every engine's."""

FIRST_RESERVED_STEP = 0xFFFFFFF0
"""Batch scripts and the shells of salloc are steps of this number or above."""

NO_RAY_JOB = "ffffffff"
"""What Ray gives a worker that it has started before there was work for it."""

NAMES = {"slurm": "Slurm", "openmpi": "Open MPI", "pmi": "PMI", "kubernetes": "Kubernetes", "ray": "Ray"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHost:
    """This host, as a part of an engine's job where there is one."""

    name: str
    engine: str = field(default="", metadata=OMITTED)
    """Whose job it is: a key of NAMES; "" where no engine is known."""
    job: str = field(default="", metadata=OMITTED)
    """The engine's id, the same on all hosts of one start: Slurm's "5.0" (step 0 of job 5) or "13_1" (of an array)."""
    pod: str = field(default="", metadata=OMITTED)
    """Of Kubernetes."""
    ranked_by: str = field(default="", metadata=OMITTED)
    """Who says which rank it is: a key of NAMES, or "variables"; "" where nobody does."""
    rank: NonNegativeInt | None = field(default=None, metadata=OMITTED)
    ranks: NonNegativeInt | None = field(default=None, metadata=OMITTED)
    """How many there are."""
    ranks_here: NonNegativeInt | None = field(default=None, metadata=OMITTED)
    """Those of them on this host."""
    hosts: NonNegativeInt | None = field(default=None, metadata=OMITTED)
    """Of the step, or of the job where this is no step."""
    across_hosts: bool = field(default=False, metadata=OMITTED)
    """Whether it begins together with the others, which have one total."""
    is_outside: bool = field(default=False, metadata=OMITTED)
    """Whether it is none of the job's hosts: `salloc` gives hosts, and a shell where it was typed."""
    owned_cpus: NonNegativeInt | None = field(default=None, metadata=OMITTED)
    """Cpus of this host that the job has."""
    least_owned_cpus: NonNegativeInt | None = field(default=None, metadata=OMITTED)
    """The same of the host that has the fewest."""
    asked_cpus: NonNegativeInt | None = field(default=None, metadata=OMITTED)
    """Cpus that somebody asked for a task of Slurm; None where nobody did, and a task gets one core."""
    usable_cpus: NonNegativeInt | None = field(default=None, metadata=OMITTED)
    """Cpus of the cores that this process may use; a core of which it may use one cpu counts with all of its cpus."""

    @property
    def place(self) -> str:
        """ "host h2, rank 1 of 3"."""
        of = "" if self.ranks is None else f" of {self.ranks}"
        return f"host {self.name}" + ("" if self.rank is None else f", rank {self.rank}{of}")

    @property
    def job_words(self) -> str:
        """ "Slurm job 17"; "" where no engine is known."""
        return f"{NAMES.get(self.engine, self.engine)} job {self.job}".removesuffix(" job ") if self.engine else ""

    @property
    def words(self) -> str:
        """ "host h2, rank 1 of 3 by Open MPI, Slurm job 17"; "" where no engine is known and nobody gave a rank."""
        if not self.engine and not self.ranked_by and not self.across_hosts:
            return ""
        by = f" by {NAMES[self.ranked_by]}" if self.ranked_by in NAMES and self.ranked_by != self.engine else ""
        pod = f"pod {self.pod}" if self.pod else ""
        together = "--across-hosts" if self.across_hosts else ""
        return ", ".join(filter(None, [self.place + by, self.job_words, pod, together]))


@dataclass(frozen=True, slots=True)
class Trouble:
    """What an engine's line does to a launch that nobody wants, and the line that works."""

    about: Literal["cpus", "hosts"]
    """What stands idle or is shared."""
    message: str
    remedy: str
    command: str

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}: {self.command}"


def job_host(variables: Mapping[str, str], host: str, topology: Topology | None) -> JobHost:
    """Where in which job a process is.

    Args:
        variables: its environment.
        host: its host's name.
        topology: of its host; None where that is not known.
    """
    here = replace(_ranked(variables), name=host, usable_cpus=None if topology is None else _usable(topology))
    if "SLURM_JOB_ID" in variables:
        return _in_slurm(variables, here)
    if here.ranks_here == 1 or here.ranked_by == "variables":
        here = replace(here, hosts=here.ranks)
    if "RAY_RAYLET_PID" in variables:
        job = variables.get("RAY_JOB_ID", "")
        return replace(here, engine="ray", job="" if job == NO_RAY_JOB else job)
    if "KUBERNETES_SERVICE_HOST" in variables:
        return _in_kubernetes(variables, here)
    if here.ranked_by in JOB_OF_MPI:
        there = None if topology is None else len(_cpus_there(topology))
        job = variables.get(JOB_OF_MPI[here.ranked_by], "")
        return replace(here, engine=here.ranked_by, job=job, owned_cpus=there, least_owned_cpus=there)
    return here


JOB_OF_MPI = {"openmpi": "PMIX_NAMESPACE", "pmi": "I_MPI_HYDRA_UUID"}
"""Who gives the ranks to the variable that is the same in all of one start."""


def _ranked(variables: Mapping[str, str]) -> JobHost:
    """Who says which rank this is, in the order in which they are believed; the host's name is left open."""
    step = _number(variables, "SLURM_STEP_ID")
    for by, names, is_there in (
        ("variables", (RANK, HOSTS), True),
        ("openmpi", ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"), True),
        # The numbers of `srun --mpi=pmi2` are its step's, which say more.
        ("pmi", ("PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"), variables.get("PMI_JOBID") != _step_of(variables)),
        ("slurm", ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"), step is not None and step < FIRST_RESERVED_STEP),
    ):
        rank, ranks, *ranks_here = (_number(variables, name) for name in names)
        if is_there and rank is not None and ranks is not None:
            return JobHost(name="", ranked_by=by, rank=rank, ranks=ranks, ranks_here=next(iter(ranks_here), None))
    return JobHost(name="")


def _in_slurm(variables: Mapping[str, str], here: JobHost) -> JobHost:
    is_step = here.ranked_by == "slurm"
    place, node = _number(variables, "SLURM_NODEID"), variables.get("SLURMD_NODENAME", "")
    name = node or here.name.partition(".")[0]
    names = host_names(variables.get("SLURM_JOB_NODELIST", ""))
    job = variables["SLURM_JOB_ID"]
    if "SLURM_ARRAY_TASK_ID" in variables:
        job = f"{variables.get('SLURM_ARRAY_JOB_ID', job)}_{variables['SLURM_ARRAY_TASK_ID']}"
    here = replace(
        here,
        name=node or here.name,
        engine="slurm",
        job=f"{job}.{variables['SLURM_STEP_ID']}" if is_step else job,
        hosts=_number(variables, "SLURM_STEP_NUM_NODES" if is_step else "SLURM_JOB_NUM_NODES"),
        asked_cpus=_number(variables, "SLURM_CPUS_PER_TASK"),
        is_outside=not node and bool(names) and name not in names,
    )
    if is_step:
        tasks = numbers_in(variables.get("SLURM_STEP_TASKS_PER_NODE", ""))
        here = replace(
            here, ranks_here=tasks[place] if place is not None and place < len(tasks) else max(tasks, default=None)
        )
    owned = numbers_in(variables.get("SLURM_JOB_CPUS_PER_NODE", ""))
    if name in names and len(names) == len(owned):
        place = names.index(name)
    least = min(owned, default=None)
    mine = owned[place] if place is not None and place < len(owned) else least
    return replace(here, owned_cpus=None if here.is_outside else mine, least_owned_cpus=least)


def _in_kubernetes(variables: Mapping[str, str], here: JobHost) -> JobHost:
    """What an Indexed Job has anyway, and the downward variables of which docs/several-hosts.md has the lines."""
    index = _number(variables, "JOB_COMPLETION_INDEX")
    job = variables.get("JOB_NAME", "")
    if index is not None:
        job = job or (here.name.removesuffix(f"-{index}") if here.name.endswith(f"-{index}") else "")
        here = here if here.ranked_by else replace(here, ranked_by="kubernetes", rank=index)
    space = variables.get("POD_NAMESPACE", "")
    return replace(
        here,
        name=variables.get("NODE_NAME") or here.name,
        engine="kubernetes",
        job=f"{space}/{job}" if space and job else job,
        pod=variables.get("POD_NAME", ""),
    )


def troubles_of(here: JobHost) -> tuple[Trouble, ...]:
    """What is wrong with how the launch was started; nothing where all is well or cannot be told.

    Args:
        here: see `job_host`.
    """
    found = []
    if here.engine == "slurm" and here.rank is None and (here.is_outside or (here.hosts or 1) > 1):
        only = f"without srun {here.name} alone works"
        if here.is_outside:
            only = f"{here.name}, where this runs, is none of them"
        message = f"Slurm job {here.job} has {counted(here.hosts or 1, 'host')}, and {only}"
        found.append(Trouble("hosts", message, "start one launch on each", command_for(here)))
    if here.owned_cpus is None or here.usable_cpus is None:
        return tuple(found)
    who = NAMES.get(here.ranked_by) or NAMES.get(here.engine, "Somebody")
    theirs = "that the job owns here" if here.engine == "slurm" else "of this host"
    ranks, owned = here.ranks_here or 1, f"{counted(here.owned_cpus, 'cpu')} {theirs}"
    is_bound_by_slurm = here.engine == "slurm" and here.ranked_by in ("slurm", "")
    has_what_was_asked = is_bound_by_slurm and 0 < (here.asked_cpus or 0) <= here.usable_cpus
    if here.usable_cpus * ranks < here.owned_cpus and not has_what_was_asked:
        whom = f"each of the {ranks} ranks here" if ranks > 1 else "this step" if who == NAMES["slurm"] else "this rank"
        message = f"{who} gave {whom} {here.usable_cpus} of the {owned}; the rest stands idle"
        remedy = "give one launch per host all of them" if here.engine == "slurm" else "start it unbound"
        found.append(Trouble("cpus", message, remedy, command_for(here)))
    elif ranks > 1 and here.usable_cpus >= here.owned_cpus:
        message = f"{who} started {ranks} ranks here, and each would use all {owned}"
        found.append(Trouble("cpus", message, "start one launch per host", command_for(here)))
    return tuple(found)


def command_for(here: JobHost) -> str:
    """The line that starts one launch on each host of the job, with all cpus that the job owns there.

    Args:
        here: one of the hosts.
    """
    if here.ranked_by == "openmpi":
        return "mpirun --map-by ppr:1:node --bind-to none ipexlaunch ..."
    if here.ranked_by == "pmi":
        return "mpiexec -ppn 1 ipexlaunch ..."
    hosts = f"--nodes={here.hosts} --ntasks={here.hosts} " if here.hosts else ""
    cpus = f"--cpus-per-task={here.least_owned_cpus} " if here.least_owned_cpus else ""
    return f"srun {hosts}--ntasks-per-node=1 {cpus}ipexlaunch ..."


def _usable(topology: Topology) -> int:
    return sum(len(cpus) for cpus in topology.cores.values() if cpus & topology.allowed_cpus)


def _cpus_there(topology: Topology) -> frozenset[int]:
    """All cpus that are online and in the cpuset, whatever the affinity mask."""
    cpus = frozenset(topology.by_cpu)
    for limit in topology.limits:
        if limit.kind != "affinity" and limit.cpus is not None:
            cpus &= limit.cpus
    return cpus


def _step_of(variables: Mapping[str, str]) -> str:
    return f"{variables.get('SLURM_JOB_ID')}.{variables.get('SLURM_STEP_ID')}"


def _number(variables: Mapping[str, str], name: str) -> int | None:
    text = variables.get(name, "")
    return int(text) if re.fullmatch("[0-9]{1,10}", text) else None
