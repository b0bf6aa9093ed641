"""Promises that hold for every check: a healthy host is in order, and what cannot be read is never called in order."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.doctor.finding import SEVERITIES, Finding, worst_severity
from ipexlaunch.doctor.host_facts import Facts
from ipexlaunch.doctor.host_files_read import FileText, HostFiles, Unavailable
from ipexlaunch.doctor.run_checks import CHECKS, PATHS, examine
from tests.doctor.hosts import HEALTHY, facts, host_files

CPU = "/sys/devices/system/cpu/"
CLOCKS = "/sys/devices/system/clocksource/clocksource0/"
POLICY = CPU + "cpufreq/policy*/"
NODE = "/sys/devices/system/node/node*/"

DECIDES: dict[str, tuple[str, ...]] = {
    CPU + "smt/active": ("smt",),
    CPU + "present": ("offline-cpus",),
    CPU + "online": ("offline-cpus",),
    CPU + "isolated": ("isolated-cpus",),
    "/proc/self/status": ("allowed-cpus", "allowed-memory", "memory-policy"),
    "/proc/self/stat": ("priority",),
    "/proc/self/oom_score_adj": ("oom-score",),
    "/proc/self/limits": ("open-files", "processes", "stack", "locked-memory", "address-space"),
    "/proc/loadavg": ("other-load",),
    "/proc/stat": ("stolen-time",),
    "/proc/meminfo": ("reserved-huge-pages",),
    "/proc/swaps": ("swap",),
    "/proc/sys/vm/zone_reclaim_mode": ("zone-reclaim",),
    "/proc/sys/kernel/numa_balancing": ("numa-balancing",),
    "/proc/sys/kernel/osrelease": ("amx",),
    "/proc/cpuinfo": ("instruction-sets", "amx", "dtypes"),
    "/sys/kernel/mm/transparent_hugepage/enabled": ("huge-pages-on-demand",),
    "/sys/kernel/mm/transparent_hugepage/defrag": ("huge-page-defrag",),
    CLOCKS + "current_clocksource": ("clock-source",),
    CPU + "intel_pstate/no_turbo": ("turbo",),
    POLICY + "scaling_governor": ("governor",),
    POLICY + "cpuinfo_max_freq": ("frequency-limit",),
    POLICY + "scaling_max_freq": ("frequency-limit",),
    POLICY + "energy_performance_preference": ("energy-preference",),
    NODE + "meminfo": ("node-memory-free",),
}
"""Files of the healthy host, and the checks that cannot answer without them."""

SUPPORTS = (
    "/proc/self/cgroup",
    CPU + "smt/control",
    CPU + "cpufreq/boost",
    POLICY + "scaling_driver",
    CLOCKS + "available_clocksource",
    "/proc/sys/vm/swappiness",
    "/proc/sys/kernel/hostname",
)
"""Files that matter only once another file says so; their own tests cover them."""

ABSENCE_HAS_A_MEANING = {
    CPU + "smt/active": ("smt", "ok"),
    CPU + "intel_pstate/no_turbo": ("turbo", "note"),
    POLICY + "scaling_governor": ("governor", "note"),
    POLICY + "energy_performance_preference": ("energy-preference", "ok"),
    POLICY + "scaling_max_freq": ("frequency-limit", "ok"),
    POLICY + "cpuinfo_max_freq": ("frequency-limit", "ok"),
}
"""Files that kernels leave out where there is nothing to say (no cpufreq driver, Linux before 4.19)."""


def by_check(found: tuple[Finding, ...]) -> dict[str, list[Finding]]:
    groups: dict[str, list[Finding]] = {}
    for finding in found:
        groups.setdefault(finding.check, []).append(finding)
    return groups


def test_a_healthy_host_is_in_order() -> None:
    assert [finding for finding in examine(facts()) if finding.severity != "ok"] == []


def test_every_check_answers_and_shows_its_evidence() -> None:
    found = by_check(examine(facts()))
    assert list(found) == [check.name for check in CHECKS]
    assert all(finding.evidence for answers in found.values() for finding in answers)


def test_every_file_that_is_read_is_accounted_for() -> None:
    assert sorted([*DECIDES, *SUPPORTS]) == sorted(PATHS)


def names_file(finding: Finding, pattern: str) -> bool:
    return any(fnmatchcase(seen.where, pattern) or seen.where == pattern for seen in finding.evidence)


@pytest.mark.parametrize("path", DECIDES)
def test_a_missing_file_is_unknown_with_its_path_or_means_what_its_absence_means(path: str) -> None:
    found = by_check(examine(facts({path: None})))
    for check in DECIDES[path]:
        [finding] = found[check]
        expected = ABSENCE_HAS_A_MEANING.get(path, (check, "unknown"))
        assert (check, finding.severity) == expected
        assert names_file(finding, path) or expected[1] == "ok"


@pytest.mark.parametrize("path", DECIDES)
@pytest.mark.parametrize(
    "text", ["", "\n", "garbage\n", "\ufffd\ufffd\x01\n", "9" * 400 + "\n", "-\n", "[]\n", ":::\n"]
)
def test_a_malformed_file_is_unknown_with_its_path(path: str, text: str) -> None:
    words = ("governor", "energy-preference", "clock-source")  # any word may be a name there, an empty one may not
    found = by_check(examine(facts({path: text})))
    for check in DECIDES[path]:
        if check == "isolated-cpus" and not text.strip():
            continue  # an empty list of isolated cpus is the healthy one
        if check in words and text.strip():
            continue
        [finding] = found[check]
        assert finding.severity == "unknown", finding
        assert names_file(finding, path), finding


@pytest.mark.parametrize("check", ["governor", "energy-preference", "frequency-limit", "turbo"])
def test_what_a_saved_tree_lacks_is_not_what_the_host_lacks(check: str) -> None:
    gone: dict[str, str | None] = {POLICY + "*": None, CPU + "intel_pstate/no_turbo": None}
    found = by_check(examine(replace(facts(), files=host_files(gone, live=False))))
    assert found[check][0].severity == "unknown"
    assert found[check][0].evidence[0].value == "no such file"


UNREAD = Unavailable("/some/where", "it is missing")


@pytest.mark.parametrize(
    ("fact", "checks"),
    [
        ("topology", ("allowed-cpus", "cpu-quota", "numa-balancing", "node-cores", "processes", "page-cache")),
        (
            "environment",
            ("job-hosts", "slurm-cpus", "thread-pinning", "thread-counts", "spinning-threads", "mpi-pinning"),
        ),
        ("environment", ("slurm-binding", "preload", "compile-cache", "instruction-caps", "worker-start")),
        ("memory_policy", ("memory-policy", "inherited-policy")),
        ("libraries", ("allocator", "openmp-runtime", "openmp-runtimes")),
        ("interpreter", ("torch",)),
        ("shared_memory", ("shared-memory",)),
        ("numa_package", ("numa-package",)),
        ("memory_limit", ("memory-limit",)),
        ("amx_refusal", ("amx",)),
    ],
)
def test_a_fact_that_could_not_be_had_is_unknown_and_says_where_it_was_asked(
    fact: str, checks: tuple[str, ...]
) -> None:
    unread: dict[str, Any] = {fact: UNREAD}
    found = by_check(examine(facts(**unread)))
    for check in checks:
        [finding] = found[check]
        assert finding.severity == "unknown"
        assert finding.evidence[0].where == "/some/where"


def test_a_path_that_nobody_reads_is_a_bug_and_not_a_missing_file() -> None:
    with pytest.raises(LookupError, match="/proc/kmsg"):
        host_files().read("/proc/kmsg")
    with pytest.raises(LookupError, match="policy"):
        host_files().matching("/sys/policy*/x")


def test_readings_come_in_the_order_of_their_numbers() -> None:
    paths = [f"/x/policy{number}/y" for number in (10, 2, 1)]
    files = HostFiles({path: FileText(path, "1") for path in paths}, ["/x/policy*/y"], live=True)
    assert [reading.path for reading in files.matching("/x/policy*/y")] == list(reversed(paths))


def test_the_worst_severity_leads() -> None:
    found = [Finding(severity=severity, message="x") for severity in ("ok", "warning", "note")]
    assert worst_severity(found) == "warning"
    assert worst_severity([]) == "ok"
    assert list(SEVERITIES) == ["ok", "note", "unknown", "warning", "problem"]


def test_the_guide_has_a_row_for_every_check() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")
    table = guide.partition("### The checks")[2].partition("\n### ")[0]
    rows = [line.split("|")[1].strip().strip("`") for line in table.splitlines() if line.startswith("| `")]
    assert rows == [check.name for check in CHECKS]


TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(sorted(set(HEALTHY.values()))),
    st.builds(lambda text, cut: text[:cut], st.sampled_from(sorted(set(HEALTHY.values()))), st.integers(0, 300)),
    st.integers(-(10**30), 10**30).map(str),
)


@given(st.dictionaries(st.sampled_from(sorted(HEALTHY)), st.one_of(st.none(), TEXTS), max_size=6))
def test_no_text_of_any_file_ends_in_an_exception(changes: dict[str, str | None]) -> None:
    found = examine(facts(changes))
    assert {finding.check for finding in found} == {check.name for check in CHECKS}


VARIABLES = (
    *("KMP_AFFINITY", "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "LD_PRELOAD", "KMP_BLOCKTIME"),
    *("SLURM_JOB_ID", "SLURM_JOB_CPUS_PER_NODE", "SLURM_NODEID", "SLURM_CPU_BIND", "SLURM_STEP_TASKS_PER_NODE"),
    *("SLURM_STEP_ID", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_JOB_NUM_NODES", "SLURM_JOB_NODELIST"),
    *("I_MPI_PIN", "I_MPI_PIN_DOMAIN", "OMP_NUM_THREADS", "TORCHINDUCTOR_CACHE_DIR", "ONEDNN_MAX_CPU_ISA"),
)


@given(st.dictionaries(st.sampled_from(VARIABLES), st.text(max_size=30)))
def test_no_value_of_any_variable_ends_in_an_exception(variables: dict[str, str]) -> None:
    made: Facts = facts(environment=variables)
    assert {finding.check for finding in examine(made)} == {check.name for check in CHECKS}
