"""Programs that start processes of their own: how many, and what each process is told of threads."""

import pytest

from ipexlaunch.launch.job import Job
from ipexlaunch.launch.make_launch import make_launch, processes_of, starter_of
from tests.launch.test_job import plan


@pytest.mark.parametrize(
    ("program", "arguments", "processes"),
    [
        ("/v/bin/torchrun", ("--nproc-per-node", "4", "a.py"), 4),
        ("torchrun", ("--nproc_per_node=2", "a.py"), 2),
        ("torchrun", ("a.py", "--x"), 1),
        ("torchrun", ("--nproc-per-node=auto", "a.py"), None),
        ("torch.distributed.run", ("--nproc-per-node=gpu", "a.py"), None),
        ("accelerate", ("launch", "--num_processes", "2", "a.py"), 2),
        ("accelerate", ("launch", "a.py"), None),
        ("mpirun", ("-np", "3", "./a"), 3),
        ("mpirun", ("./a",), None),
        ("xargs", ("-P8", "-n1", "echo"), 8),
        ("gunicorn", ("app",), 1),
        ("pytest", ("-n", "auto"), None),
        ("torchrun", ("--nproc-per-node",), None),
        ("make", ("-B", "-j4"), 4),
        ("make", ("-j",), None),
    ],
)
def test_how_many_processes_a_program_starts(program: str, arguments: tuple[str, ...], processes: int | None) -> None:
    assert processes_of(starter_of(program), arguments) == processes


@pytest.mark.parametrize("program", ["script.py", "my-torchrun", "torchrun.sh", "torch", "/x/mpi"])
def test_any_other_program_is_none(program: str) -> None:
    assert starter_of(program) == ""


def launched(arguments: tuple[str, ...], inherited: dict[str, str]) -> tuple[str | None, tuple[str, ...]]:
    job = Job(program="torch.distributed.run", arguments=arguments, kind="module")
    launch = make_launch(plan({0, 1, 2, 3}), job, inherited)
    return launch.workers[0].environment.get("OMP_NUM_THREADS"), launch.notes


def test_its_processes_share_the_cores_and_a_note_says_so() -> None:
    threads, (note,) = launched(("--nproc-per-node", "2", "a.py"), {})
    assert threads == "2"
    assert "starts 2 processes in each instance: OMP_NUM_THREADS is 2 in each" in note
    assert launched(("--nproc-per-node", "8", "a.py"), {})[0] == "1"
    assert launched(("a.py",), {}) == ("4", ())


def test_where_their_number_is_not_told_the_count_is_left_to_the_program() -> None:
    threads, (note,) = launched(("--nproc-per-node", "auto", "a.py"), {"MKL_NUM_THREADS": "1"})
    assert threads is None
    assert "OMP_NUM_THREADS is left to it" in note


def test_what_the_user_asks_for_by_env_wins() -> None:
    job = Job(program="torchrun", arguments=("--nproc-per-node", "2"), environment={"OMP_NUM_THREADS": "3"})
    assert make_launch(plan({0, 1}), job, {}).workers[0].environment["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("/usr/bin/env", ("A=1", "/v/bin/torchrun", "--nproc-per-node", "2", "a.py")),
        ("nice", ("-n", "5", "python", "-m", "torch.distributed.run", "--nproc-per-node=2", "a.py")),
        ("timeout", ("60", "make", "-j2")),
    ],
)
def test_a_starter_is_seen_through_what_wraps_it(program: str, arguments: tuple[str, ...]) -> None:
    launch = make_launch(plan({0, 1, 2, 3}), Job(program=program, arguments=arguments, kind="executable"), {})
    assert launch.workers[0].environment["OMP_NUM_THREADS"] == "2"
    assert "starts 2 processes in each instance" in launch.notes[0]


def test_what_wraps_any_other_program_changes_nothing() -> None:
    job = Job(program="env", arguments=("A=1", "./a", "-n", "2"), kind="executable")
    launch = make_launch(plan({0, 1, 2, 3}), job, {})
    assert launch.workers[0].environment["OMP_NUM_THREADS"] == "4"
    assert launch.notes == ()
