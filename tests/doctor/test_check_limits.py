"""Priority, limits, quota, load: the good and the bad case of each check."""

from __future__ import annotations

import pytest

from ipexlaunch.doctor.finding import Evidence
from ipexlaunch.machine.topology import Limit
from tests.doctor.hosts import LIMITS, answer, host_files, machine, stat_line


@pytest.mark.parametrize(("nice", "severity"), [(0, "ok"), (-5, "ok"), (1, "warning"), (15, "warning")])
def test_a_low_priority_is_found(nice: int, severity: str) -> None:
    found = answer("priority", {"/proc/self/stat": stat_line(nice=nice)})
    assert (found.severity, found.evidence[0].value) == (severity, f"nice {nice}, scheduling policy 0")


def test_the_idle_policy_is_found() -> None:
    found = answer("priority", {"/proc/self/stat": stat_line(policy=5)})
    assert found.severity == "warning"
    assert "SCHED_IDLE" in found.message


@pytest.mark.parametrize(("score", "severity"), [("0", "ok"), ("-1000", "ok"), ("1000", "warning")])
def test_a_worker_that_is_killed_first_is_found(score: str, severity: str) -> None:
    assert answer("oom-score", {"/proc/self/oom_score_adj": score}).severity == severity


@pytest.mark.parametrize(
    ("check", "name", "soft", "hard", "severity", "command"),
    [
        ("open-files", "Max open files", "1024", "524288", "warning", "ulimit -n 4096"),
        ("open-files", "Max open files", "1024", "1024", "warning", ""),
        ("open-files", "Max open files", "unlimited", "unlimited", "ok", ""),
        ("processes", "Max processes", "100", "unlimited", "warning", "ulimit -u 576"),
        ("processes", "Max processes", "100", "100", "warning", ""),
        ("stack", "Max stack size", "65536", "unlimited", "warning", "ulimit -s 8192"),
        ("stack", "Max stack size", "unlimited", "unlimited", "ok", ""),
        ("locked-memory", "Max locked memory", "65536", "65536", "note", "ulimit -l unlimited"),
        ("address-space", "Max address space", "4294967296", "unlimited", "warning", "ulimit -v unlimited"),
    ],
)
def test_a_limit_that_is_too_low_is_found(
    check: str, name: str, soft: str, hard: str, severity: str, command: str
) -> None:
    line = f"{name:25} {soft:20} {hard:20} units"
    text = "\n".join(line if row.startswith(name) else row for row in LIMITS.splitlines())
    found = answer(check, {"/proc/self/limits": text})
    assert (found.severity, found.command) == (severity, command)


@pytest.mark.parametrize(
    ("load", "severity"), [("0.5", "ok"), ("2.0", "note"), ("7.9", "warning"), ("nan?", "unknown")]
)
def test_other_programs_are_found_by_the_load(load: str, severity: str) -> None:
    assert answer("other-load", {"/proc/loadavg": f"{load} 0 0 1/2 3\n"}).severity == severity


@pytest.mark.parametrize(
    ("ticks", "severity"),
    [
        ("1000 0 500 9000 0 0 5 0", "ok"),
        ("1000 0 500 9000 0 0 5 300", "warning"),
        ("0 0 0 0 0 0 0 0", "unknown"),
        ("1 2 3", "unknown"),
    ],
)
def test_stolen_time_is_found(ticks: str, severity: str) -> None:
    assert answer("stolen-time", {"/proc/stat": f"cpu  {ticks}\n"}).severity == severity


@pytest.mark.parametrize(
    ("quota", "severity"), [(None, "ok"), (8.0, "ok"), (100.0, "ok"), (6.5, "problem"), (0.5, "problem")]
)
def test_a_quota_below_the_allowed_cores_is_a_problem(quota: float | None, severity: str) -> None:
    limits = () if quota is None else (Limit(kind="quota", file="sys/fs/cgroup/cpu.max", quota=quota),)
    stopped = Evidence("/sys/fs/cgroup/cpu.stat", "nr_throttled 12")
    found = answer("cpu-quota", topology=machine(cpu_quota=quota, limits=limits), throttling=(stopped,))
    assert found.severity == severity
    if severity == "problem":
        assert found.evidence == (Evidence("/sys/fs/cgroup/cpu.max", f"{quota:g} cpus"), stopped)
        assert found.command.endswith(f"--ncores-per-instance {max(1, int(quota or 0))} ...")


@pytest.mark.parametrize("check", ["cpu-quota", "memory-limit"])
def test_a_saved_tree_without_cgroups_does_not_say_that_there_is_no_limit(check: str) -> None:
    without: dict[str, str | None] = {"/proc/self/cgroup": None}
    assert answer(check, files=host_files(without, live=False)).severity == "unknown"
    assert answer(check, files=host_files(without, live=True)).severity == "ok"


def test_a_quota_for_one_thread_per_core_is_enough() -> None:
    from dataclasses import replace

    smt = tuple(replace(cpu, core=cpu.id % 4) for cpu in machine().cpus)
    assert answer("cpu-quota", topology=machine(cpus=smt, cpu_quota=4.0)).severity == "ok"
    assert answer("cpu-quota", topology=machine(cpus=smt, cpu_quota=3.0)).severity == "problem"
