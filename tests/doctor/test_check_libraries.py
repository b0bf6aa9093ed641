"""Libraries and packages: the good and the bad case of each check."""

from __future__ import annotations

import pytest

from ipexlaunch.doctor.finding import Evidence
from ipexlaunch.doctor.host_facts import Interpreter, Library, LoadedRuntimes
from ipexlaunch.doctor.host_files_read import Unavailable
from tests.doctor.hosts import answer, answers

GOMP = Library("openmp", "gomp", "/e/site-packages/torch/lib/libgomp.so.1", "torch")
OTHER = Library("openmp", "gomp", "/e/site-packages/scikit_learn.libs/libgomp-a3.so.1", "scikit_learn")


def test_no_allocator_is_a_warning_with_the_line_that_installs_one() -> None:
    found = answer("allocator", libraries=())
    assert found.severity == "warning"
    assert found.command == "sudo apt-get install -y libtcmalloc-minimal4 libjemalloc2"


def test_no_libiomp5_is_a_note_that_shows_what_is_there_instead() -> None:
    found = answer("openmp-runtime", libraries=(GOMP,))
    assert (found.severity, found.command) == ("note", "/env/bin/python -m pip install intel-openmp")
    assert found.evidence == (Evidence(GOMP.path, "torch"),)


def test_two_packages_with_runtimes_of_their_own_are_found() -> None:
    assert answer("openmp-runtimes", libraries=(GOMP, GOMP)).severity == "ok"
    found = answer("openmp-runtimes", libraries=(GOMP, OTHER))
    assert found.severity == "note"
    assert found.message.startswith("scikit_learn, torch each bring")


def test_a_pool_of_processes_in_each_worker_is_told_with_what_running_ones_have_cost() -> None:
    assert answer("worker-start", environment={"TORCH_WARM_POOL": "0"}).severity == "ok"
    process = LoadedRuntimes(pid=7, paths=(), cpu_s=6.25, anonymous_bytes=512 << 20)
    pool, cost = answers("worker-start", environment={"TORCH_WARM_POOL": "1"}, processes=(process,))
    assert (pool.severity, "unset TORCH_WARM_POOL" in pool.remedy) == ("note", True)
    assert cost.message == "Process 7 has cost 6.2 cpu-seconds so far, and has 512 MiB of memory in no file"


TORCH_GOMP, SKLEARN_GOMP, IOMP = "/t/torch/lib/libgomp.so.1", "/s/libgomp-a34b3233.so.1.0.0", "/e/lib/libiomp5.so"


@pytest.mark.parametrize(
    ("paths", "working", "preload", "severity"),
    [
        ((), None, (), "ok"),
        ((TORCH_GOMP,), None, (), "ok"),
        ((TORCH_GOMP, SKLEARN_GOMP), (TORCH_GOMP, SKLEARN_GOMP), (), "problem"),
        ((TORCH_GOMP, SKLEARN_GOMP), (SKLEARN_GOMP,), (), "ok"),
        ((TORCH_GOMP, SKLEARN_GOMP), (), (), "ok"),
        ((TORCH_GOMP, SKLEARN_GOMP), None, (), "note"),
        ((TORCH_GOMP, IOMP), (TORCH_GOMP, IOMP), (), "problem"),
        ((TORCH_GOMP, IOMP), (TORCH_GOMP, IOMP), ("/l/libtcmalloc.so.4", IOMP), "ok"),
        ((TORCH_GOMP, SKLEARN_GOMP), (TORCH_GOMP, SKLEARN_GOMP), (TORCH_GOMP,), "problem"),
    ],
)
def test_two_runtimes_in_a_running_worker_are_a_problem_unless_libiomp5_answers_for_both(
    paths: tuple[str, ...], working: tuple[str, ...] | None, preload: tuple[str, ...], severity: str
) -> None:
    process = LoadedRuntimes(pid=7, paths=paths, with_threads=working, preloaded=preload)
    bundled, loaded = answers("openmp-runtimes", processes=(process,))
    assert (bundled.severity, loaded.severity) == ("ok", severity)
    assert all(seen.where.startswith("/proc/7/") for seen in loaded.evidence)


def test_a_process_that_is_gone_is_unknown() -> None:
    _, loaded = answers("openmp-runtimes", processes=(Unavailable("/proc/7", "there is no such process"),))
    assert (loaded.severity, loaded.evidence[0].where) == ("unknown", "/proc/7")


def interpreter(**versions: str) -> Interpreter:
    packages = {name.replace("_", "-"): Evidence(f"/e/{name}.dist-info", value) for name, value in versions.items()}
    return Interpreter(path="/env/bin/python", version="3.11", packages=packages)


@pytest.mark.parametrize(
    ("versions", "severities"),
    [
        ({}, ["note"]),
        ({"torch": "2.13.0+cpu"}, ["ok"]),
        ({"torch": "2.8.0+cpu", "intel_extension_for_pytorch": "2.8.0"}, ["ok"]),
        ({"torch": "2.13.0", "intel_extension_for_pytorch": "2.8.0"}, ["ok", "problem"]),
        ({"torch": "2.13.0", "torchao": "0.18.0"}, ["ok"]),
        ({"torch": "2.8.0", "torchao": "0.12.0"}, ["ok", "note"]),
        ({"torch": "nightly", "torchao": "0.18.0"}, ["ok", "note"]),
    ],
)
def test_packages_that_do_not_fit_torch_are_found(versions: dict[str, str], severities: list[str]) -> None:
    found = answers("torch", interpreter=interpreter(**versions))
    assert [finding.severity for finding in found] == severities
