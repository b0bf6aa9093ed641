"""Variables: the good and the bad value of each, as seen with libgomp 12 and libiomp5 2026.2 (docs/tuning.md)."""

from __future__ import annotations

import pytest

from tests.doctor.hosts import answer


@pytest.mark.parametrize(
    ("variables", "severity"),
    [
        ({}, "ok"),
        ({"KMP_AFFINITY": "granularity=fine,compact,1,0"}, "problem"),
        ({"KMP_AFFINITY": "balanced"}, "problem"),
        ({"KMP_AFFINITY": "granularity=fine,compact,1,0,reset"}, "ok"),
        ({"KMP_AFFINITY": "none"}, "ok"),
        ({"KMP_AFFINITY": "disabled"}, "ok"),
        ({"KMP_AFFINITY": "verbose"}, "ok"),
        ({"KMP_AFFINITY": "explicit,proclist=[0,1],reset"}, "problem"),
        ({"OMP_PROC_BIND": "close"}, "problem"),
        ({"OMP_PROC_BIND": "TRUE"}, "problem"),
        ({"OMP_PROC_BIND": "False"}, "ok"),
        ({"OMP_PROC_BIND": "close", "OMP_PLACES": "{0,1}"}, "ok"),
        ({"OMP_PROC_BIND": "close", "OMP_PLACES": "sockets"}, "ok"),
        ({"OMP_PLACES": "cores"}, "problem"),
        ({"OMP_PLACES": "{0},{1}"}, "problem"),
        ({"OMP_PLACES": "{0, 1}"}, "ok"),
        ({"OMP_PLACES": "cores", "OMP_PROC_BIND": "false"}, "ok"),
        ({"GOMP_CPU_AFFINITY": "0-3"}, "problem"),
        ({"GOMP_CPU_AFFINITY": "0-3", "OMP_PROC_BIND": "false"}, "ok"),
    ],
)
def test_settings_that_hold_the_main_thread_to_one_cpu_are_found(variables: dict[str, str], severity: str) -> None:
    assert answer("thread-pinning", environment=variables).severity == severity


def test_the_remedy_of_kmp_affinity_is_its_reset_modifier() -> None:
    found = answer("thread-pinning", environment={"KMP_AFFINITY": "granularity=fine,compact,1,0"})
    assert ",reset" in found.remedy
    assert found.evidence[0].where == "environment KMP_AFFINITY"
    assert found.command == "unset KMP_AFFINITY"


def test_lists_of_the_hosts_cpus_are_worse_because_every_worker_reads_them() -> None:
    found = answer("thread-pinning", environment={"GOMP_CPU_AFFINITY": "0-3", "OMP_PROC_BIND": "close"})
    assert "every worker would pin its threads to the same ones" in found.message
    assert found.command == "unset GOMP_CPU_AFFINITY OMP_PROC_BIND"


@pytest.mark.parametrize(
    ("check", "variables", "severity"),
    [
        ("thread-counts", {"OMP_NUM_THREADS": "1"}, "note"),
        ("thread-counts", {"MKL_NUM_THREADS": "4"}, "note"),
        ("thread-counts", {"OMP_THREAD_LIMIT": "4", "OMP_NUM_THREADS": "4"}, "note"),
        ("spinning-threads", {"KMP_BLOCKTIME": "1"}, "ok"),
        ("spinning-threads", {"KMP_BLOCKTIME": "200"}, "note"),
        ("spinning-threads", {"KMP_BLOCKTIME": "infinite"}, "note"),
        ("spinning-threads", {"OMP_WAIT_POLICY": "ACTIVE"}, "note"),
        ("spinning-threads", {"OMP_WAIT_POLICY": "passive"}, "ok"),
        ("spinning-threads", {"GOMP_SPINCOUNT": "infinity"}, "note"),
        ("mpi-pinning", {"I_MPI_PIN_DOMAIN": "numa"}, "warning"),
        ("mpi-pinning", {"I_MPI_PIN": "off", "I_MPI_PIN_DOMAIN": "numa"}, "ok"),
        ("mpi-pinning", {"I_MPI_PIN": "1"}, "warning"),
        ("mpi-pinning", {"OMPI_MCA_hwloc_base_binding_policy": "core"}, "warning"),
        ("mpi-pinning", {"OMPI_MCA_hwloc_base_binding_policy": "none"}, "ok"),
        ("slurm-binding", {"SLURM_CPU_BIND": "quiet,mask_cpu:0x1"}, "note"),
        ("slurm-binding", {"SLURM_CPU_BIND": "quiet,none"}, "ok"),
        ("slurm-binding", {"SLURM_MEM_BIND": "quiet,local"}, "note"),
        ("slurm-binding", {"SLURM_MEM_BIND": ""}, "ok"),
        ("compile-cache", {"TORCHINDUCTOR_CACHE_DIR": "/cache/"}, "note"),
        ("instruction-caps", {"ATEN_CPU_CAPABILITY": "avx2"}, "warning"),
        ("instruction-caps", {"ONEDNN_MAX_CPU_ISA": "ALL"}, "ok"),
        ("instruction-caps", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, "warning"),
    ],
)
def test_a_variable_is_judged_by_its_value(check: str, variables: dict[str, str], severity: str) -> None:
    found = answer(check, environment=variables)
    assert found.severity == severity
    if severity != "ok":
        assert found.command
        assert {seen.where for seen in found.evidence} <= {f"environment {name}" for name in variables}


def test_a_shared_compile_cache_comes_with_one_folder_per_size() -> None:
    found = answer("compile-cache", environment={"TORCHINDUCTOR_CACHE_DIR": "/cache/"})
    assert found.command == "ipexlaunch --env TORCHINDUCTOR_CACHE_DIR=/cache/{threads} ..."


@pytest.mark.parametrize(
    ("preload", "existing", "severity", "command"),
    [
        ("", (), "ok", ""),
        ("/a/libtcmalloc.so.4", ("/a/libtcmalloc.so.4",), "ok", ""),
        (
            "/a/libtcmalloc.so.4:/b/libiomp5.so",
            ("/a/libtcmalloc.so.4",),
            "problem",
            "export LD_PRELOAD=/a/libtcmalloc.so.4",
        ),
        ("/a/x.so /b/y.so", (), "problem", "unset LD_PRELOAD"),
        ("/a/libgomp.so.1:/b/libiomp5.so", ("/a/libgomp.so.1", "/b/libiomp5.so"), "problem", "unset LD_PRELOAD"),
        (
            "/t/libgomp-a34b3233.so.1 libomp.so.5",
            ("/t/libgomp-a34b3233.so.1", "libomp.so.5"),
            "problem",
            "unset LD_PRELOAD",
        ),
    ],
)
def test_a_preload_that_is_missing_or_brings_two_runtimes_is_found(
    preload: str, existing: tuple[str, ...], severity: str, command: str
) -> None:
    found = answer("preload", environment={"LD_PRELOAD": preload}, existing_paths=frozenset(existing))
    assert (found.severity, found.command) == (severity, command)
