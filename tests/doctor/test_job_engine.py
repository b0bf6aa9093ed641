"""Where in which job a launch is, by what engines really set (tests/data/job-environments.yaml), and what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.doctor.job_engine import JobHost, job_host, troubles_of
from ipexlaunch.documents.codec import read_value, to_plain
from ipexlaunch.documents.text import parse_document
from ipexlaunch.machine.cpulist import parse_list
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.machine.topology import Limit, Topology

SEEN: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "job-environments.yaml").read_text(encoding="utf-8")
)

SRUN = "srun --nodes=3 --ntasks=3 --ntasks-per-node=1 --cpus-per-task=2 ipexlaunch ..."
MPIRUN = "mpirun --map-by ppr:1:node --bind-to none ipexlaunch ..."

ANSWERS = {
    "srun -N3 --ntasks-per-node=1 --exclusive": ("host h2, rank 1 of 3, Slurm job 2.0", "gave this step 1 of", SRUN),
    "srun -N3 --ntasks-per-node=1 -c2": ("host h2, rank 1 of 3, Slurm job 3.0", "", ""),
    "srun -N2 --ntasks-per-node=1 -c1 --exclusive": ("host h1, rank 0 of 2, Slurm job 54.0", "", ""),
    "srun -N3 --exclusive": ("host h2, rank 1 of 3, Slurm job 4.0", "", ""),
    "srun -N3 --ntasks-per-node=2 --exclusive": ("host h2, rank 2 of 6, Slurm job 5.0", "", ""),
    "srun -N3 --ntasks-per-node=2 --exclusive --cpu-bind=none": (
        "host h2, rank 2 of 6, Slurm job 38.0", "Slurm started 2 ranks here, and each would use all 2 cpus", SRUN,
    ),
    "srun -N3 --ntasks-per-node=1 -c2 --mpi=pmi2": ("host h2, rank 1 of 3, Slurm job 19.0", "", ""),
    "sbatch -N1": ("host h1, Slurm job 10", "", ""),
    "sbatch -N3 --exclusive": ("host h1, Slurm job 8", "has 3 hosts, and without srun h1 alone works", SRUN),
    "sbatch -N3 --exclusive, srun": ("host h2, rank 1 of 3, Slurm job 12.0", "", ""),
    "sbatch --array=0-1": ("host h2, Slurm job 13_1", "", ""),
    "sbatch --array=0-1, srun": ("host h2, rank 0 of 1, Slurm job 13_1.0", "", ""),
    "salloc -N3 --exclusive": ("host h1, Slurm job 15", "has 3 hosts, and without srun h1 alone works", SRUN),
    "salloc -N1 --exclusive": ("host h1, Slurm job 16", "", ""),
    "salloc -N2 -w h2,h3, on another host": (
        "host h1, Slurm job 37", "has 2 hosts, and h1, where this runs, is none of them",
        "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=2 ipexlaunch ...",
    ),
    "salloc -N3 with use_interactive_step": ("host h1, Slurm job 20", "and without srun h1 alone works", SRUN),
    "salloc -N3 with use_interactive_step, srun": ("host h2, rank 1 of 3, Slurm job 20.0", "", ""),
    "mpirun --map-by ppr:1:node on h1, h2": (
        "host h2, rank 1 of 2, Open MPI job 3852533761", "Open MPI gave this rank 1 of the 2 cpus", MPIRUN,
    ),
    "mpirun --map-by ppr:1:node --bind-to none on h1, h2, h3": (
        "host h2, rank 1 of 3, Open MPI job 2407858177", "", "",
    ),
    "mpirun --map-by ppr:2:node on h1, h2": (
        "host h2, rank 2 of 4, Open MPI job 2410676225", "Open MPI started 2 ranks here", MPIRUN,
    ),
    # The daemons of mpirun are tasks 0 and 1 of an srun of its own on the second and the third host.
    "salloc -N3, mpirun, its own host": ("host h1, rank 0 of 3 by Open MPI, Slurm job 17", "", ""),
    "salloc -N3, mpirun, the second host": ("host h2, rank 1 of 3 by Open MPI, Slurm job 17", "", ""),
    "salloc -N3, mpirun, the third host": ("host h3, rank 2 of 3 by Open MPI, Slurm job 17", "", ""),
    "mpiexec -ppn 1 of Intel MPI on h1, h2, h3": (
        "host h2, rank 1 of 3, PMI job 085e0000-7dee-7a21-7661-0600716ef06a", "", "",
    ),
    "salloc -N3, mpiexec -ppn 1 of Intel MPI": ("host h2, rank 1 of 3 by PMI, Slurm job 36", "", ""),
    "Ray task": ("host h1, Ray", "", ""),
}  # fmt: skip
"""How it was started to where it says that it is, what is wrong, and the line that works."""


def host_with(affinity: str, shape: str = "1s 1n 2c 1t") -> Topology:
    allowed = frozenset(parse_list(affinity))
    limit = Limit(kind="affinity", file="proc/self/status", cpus=allowed)
    return replace(synthetic_machine(shape), allowed_cpus=allowed, limits=(limit,))


@pytest.mark.parametrize("started", SEEN)
def test_what_an_engine_sets_tells_where_a_launch_is_and_what_is_wrong(started: str) -> None:
    case = SEEN[started]
    here = job_host(case["variables"], case["host"], host_with(case["affinity"]))
    words, wrong, line = ANSWERS[started]
    troubles = troubles_of(here)
    assert here.words == words
    assert [trouble.command for trouble in troubles] == ([line] if line else [])
    assert all(wrong in trouble.message for trouble in troubles)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ""),
        # Kubernetes, "Indexed Job": the index, and a host name that is the Job's with it.
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "host job-2, Kubernetes"),
        (
            {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "2"},
            "host job-2, rank 2, Kubernetes job job",
        ),
        (
            {
                "KUBERNETES_SERVICE_HOST": "10.0.0.1",
                "JOB_COMPLETION_INDEX": "2",
                "JOB_NAME": "embed",
                "POD_NAME": "embed-2-x7k",
                "POD_NAMESPACE": "science",
                "NODE_NAME": "node7",
            },
            "host node7, rank 2, Kubernetes job science/embed, pod embed-2-x7k",
        ),
        ({"RAY_RAYLET_PID": "9", "RAY_JOB_ID": "01000000"}, "host job-2, Ray job 01000000"),
        ({"IPEXLAUNCH_HOST_RANK": "1", "IPEXLAUNCH_HOSTS": "3"}, "host job-2, rank 1 of 3"),
        ({"IPEXLAUNCH_HOST_RANK": "1"}, ""),
        ({"PMI_RANK": "one", "PMI_SIZE": "3"}, ""),
    ],
)
def test_engines_that_were_not_at_hand_are_known_by_their_documentation(variables: dict[str, str], words: str) -> None:
    here = job_host(variables, "job-2", host_with("0"))
    assert here.words == words
    assert troubles_of(here) == ()


def test_a_given_rank_wins_over_every_engine() -> None:
    seen = SEEN["salloc -N3, mpirun, the second host"]["variables"]
    here = job_host({**seen, "IPEXLAUNCH_HOST_RANK": "2", "IPEXLAUNCH_HOSTS": "4"}, "h2", None)
    assert (here.ranked_by, here.rank, here.ranks) == ("variables", 2, 4)


@pytest.mark.parametrize(("node", "owned"), [("h1", 4), ("h02", 4), ("h03", 72), ("big", 96), ("h4", 4)], ids=str)
def test_a_host_owns_what_stands_at_its_place_in_the_list(node: str, owned: int) -> None:
    hosts = {"SLURM_JOB_NODELIST": "h1,h[02-03],big", "SLURM_JOB_CPUS_PER_NODE": "4(x2),72,96"}
    here = job_host({"SLURM_JOB_ID": "7", "SLURMD_NODENAME": node, **hosts}, node, None)
    assert (here.owned_cpus, here.least_owned_cpus) == (owned, 4)


def test_one_thread_of_each_core_is_all_of_the_core() -> None:
    shape = "1s 1n 2c 2t"
    firsts = ",".join(str(min(cpus)) for cpus in synthetic_machine(shape).cores.values())
    step = {**SEEN["srun -N3 --ntasks-per-node=1 --exclusive"]["variables"], "SLURM_JOB_CPUS_PER_NODE": "4(x3)"}
    assert troubles_of(job_host(step, "h2", host_with(firsts, shape))) == ()  # --hint=nomultithread
    assert len(troubles_of(job_host(step, "h2", host_with("0", shape)))) == 1


@pytest.mark.parametrize("started", SEEN)
def test_it_stands_in_a_document_and_is_read_again(started: str) -> None:
    here = job_host(SEEN[started]["variables"], "h2", host_with("0"))
    document = parse_document(yaml.safe_dump({"schema": "ipexlaunch/x/1", **to_plain(here)}), "x", {"x": [1]})
    assert read_value(document, JobHost) == here


def test_cpus_that_were_asked_for_are_of_slurms_tasks_not_of_mpiruns_ranks() -> None:
    seen = SEEN["salloc -N3, mpirun, the second host"]["variables"]
    (trouble,) = troubles_of(job_host({**seen, "SLURM_CPUS_PER_TASK": "1"}, "h2", host_with("0")))
    assert (trouble.about, trouble.command) == ("cpus", MPIRUN)


NAMES = sorted({name for case in SEEN.values() for name in case["variables"]} | {"JOB_COMPLETION_INDEX"})


@given(
    st.dictionaries(st.sampled_from(NAMES), st.one_of(st.text(max_size=20), st.from_regex(r"[0-9h,\[\]()x-]{0,20}"))),
    st.sampled_from(list(SEEN)),
)
def test_no_value_of_any_variable_ends_in_an_exception(changes: dict[str, str], started: str) -> None:
    here = job_host({**SEEN[started]["variables"], **changes}, "h2", host_with("0"))
    assert all(trouble.command for trouble in troubles_of(here))
