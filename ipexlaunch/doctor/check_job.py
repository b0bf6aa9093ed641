"""Whether an engine's line lets all hosts of a job work, and all cpus of each; `run` asks the same before it starts.

Sources: those of job_engine.
"""

from __future__ import annotations

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import Facts
from ipexlaunch.doctor.host_files_read import Unavailable, Undecidable
from ipexlaunch.doctor.job_engine import HOSTS, RANK, JobHost, job_host, troubles_of
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.wording import counted

HOST_NAME = "/proc/sys/kernel/hostname"

PATHS = (HOST_NAME,)

JOBS = {"slurm": "SLURM_JOB_ID", "openmpi": "OMPI_COMM_WORLD_RANK", "pmi": "PMI_RANK"}
JOBS |= {"kubernetes": "KUBERNETES_SERVICE_HOST", "ray": "RAY_RAYLET_PID", "": RANK}
"""Engine to the variable by which it is known."""


def check_job_hosts(facts: Facts) -> Finding:
    """Whether this is part of an engine's job, and whether the job's other hosts work too."""
    here = _here(facts)
    names = [JOBS[here.engine], *(name for name in (RANK, HOSTS, "SLURM_STEP_ID") if name in facts.variables)]
    seen = [Evidence(f"environment {name}", facts.variables.get(name, "not set")) for name in dict.fromkeys(names)]
    for trouble in troubles_of(here):
        if trouble.about == "hosts" or here.engine != "slurm":
            return finding("problem", trouble.message, *seen, remedy=trouble.remedy, command=trouble.command)
    if not here.words:
        return finding("ok", "Not started by Slurm, an MPI, Kubernetes or Ray", *seen)
    return finding("ok", f"This is {here.words}", *seen)


def check_slurm_cpus(facts: Facts) -> Finding:
    """Whether a Slurm step got fewer cpus than its job owns on this host, as plain srun gives them."""
    here, variables = _here(facts), facts.variables
    if here.engine != "slurm":
        return finding("ok", "Not in a Slurm job", Evidence("environment SLURM_JOB_ID", "not set"))
    seen = Evidence("environment SLURM_JOB_CPUS_PER_NODE", variables.get("SLURM_JOB_CPUS_PER_NODE", "not set"))
    if here.is_outside:
        return finding("ok", "This host is none of the Slurm job's", seen)
    if here.owned_cpus is None:
        raise Undecidable("it is not set to a list such as 72(x2),36", seen)
    may = Evidence("cpus that this process may use", format_list(facts.machine.allowed_cpus))
    for trouble in troubles_of(here):
        if trouble.about == "cpus":
            return finding("problem", trouble.message, seen, may, remedy=trouble.remedy, command=trouble.command)
    owned = f"{counted(here.owned_cpus, 'cpu')} that the job owns here"
    if here.usable_cpus is not None and here.usable_cpus < here.owned_cpus:
        part = f"{here.usable_cpus} of the {owned}"
        return finding("note", f"This Slurm task has {part}; the rest is for other tasks and steps", seen, may)
    return finding("ok", f"The Slurm step has all {owned}", seen, may)


def _here(facts: Facts) -> JobHost:
    topology = None if isinstance(facts.topology, Unavailable) else facts.topology
    return job_host(facts.variables, (facts.files.read(HOST_NAME).text or "").strip(), topology)
