"""Huge pages, balancing, reclaim, swap, shared memory, policies: the good and the bad case of each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipexlaunch.doctor.host_facts import FileSystemSize, MemoryLimit, MemoryPolicy
from ipexlaunch.machine.topology import Node
from tests.doctor.hosts import GIB, STATUS, answer, machine

THP = "/sys/kernel/mm/transparent_hugepage/"
SWAP_HEAD = "Filename\t\tType\t\tSize\t\tUsed\t\tPriority\n"
ONE_NODE = machine(cpus=tuple(replace(cpu, node=0) for cpu in machine().cpus), nodes=(Node(id=0, memory_bytes=GIB),))


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("[always] madvise never", "ok"),
        ("always [madvise] never", "ok"),
        ("always madvise [never]", "warning"),
        ("always madvise never", "unknown"),
        ("[always] [never]", "unknown"),
    ],
)
def test_huge_pages_that_nobody_can_get_are_found(text: str, severity: str) -> None:
    found = answer("huge-pages-on-demand", {THP + "enabled": text})
    assert found.severity == severity
    assert bool(found.command) == (severity == "warning")


@pytest.mark.parametrize(("text", "severity"), [("[always] defer", "note"), ("always [defer+madvise]", "ok")])
def test_faults_that_wait_for_compaction_are_found(text: str, severity: str) -> None:
    assert answer("huge-page-defrag", {THP + "defrag": text}).severity == severity


@pytest.mark.parametrize(("text", "severity"), [("0", "ok"), ("1", "warning"), ("2", "note"), ("x", "unknown")])
def test_numa_balancing_is_found(text: str, severity: str) -> None:
    assert answer("numa-balancing", {"/proc/sys/kernel/numa_balancing": text}).severity == severity


def test_one_node_has_nothing_to_balance_or_reclaim_even_where_the_files_are_missing() -> None:
    changes = {"/proc/sys/kernel/numa_balancing": None, "/proc/sys/vm/zone_reclaim_mode": None}
    assert answer("numa-balancing", changes, topology=ONE_NODE).severity == "ok"
    assert answer("zone-reclaim", changes, topology=ONE_NODE).severity == "ok"


@pytest.mark.parametrize(("text", "severity"), [("0", "ok"), ("1", "warning"), ("7", "warning")])
def test_zone_reclaim_is_found(text: str, severity: str) -> None:
    found = answer("zone-reclaim", {"/proc/sys/vm/zone_reclaim_mode": text})
    assert found.severity == severity


@pytest.mark.parametrize(
    ("rows", "swappiness", "severity"),
    [
        ("", "60", "ok"),
        ("/dev/sda2 partition 8388604 0 -2\n", "1", "ok"),
        ("/dev/sda2 partition 8388604 0 -2\n", "60", "note"),
        ("/dev/sda2 partition 8388604 4194304 -2\n", "1", "warning"),
        ("/swap\\040file file 8388604 0 -2\n/dev/zram0 partition 8388604 8388604 100\n", "1", "warning"),
        ("/dev/sda2 partition 8388604 0 -2\n", None, "unknown"),
        ("/dev/sda2 partition\n", "1", "unknown"),
        ("/dev/sda2 partition much little -2\n", "1", "unknown"),
    ],
)
def test_memory_on_disk_is_found(rows: str, swappiness: str | None, severity: str) -> None:
    found = answer("swap", {"/proc/swaps": SWAP_HEAD + rows, "/proc/sys/vm/swappiness": swappiness})
    assert found.severity == severity


def test_swapped_memory_is_counted_in_words_that_people_read() -> None:
    rows = "/dev/sda2 partition 8388608 4194304 -2\n"
    found = answer("swap", {"/proc/swaps": SWAP_HEAD + rows})
    assert found.evidence[0].value == "4.0 GiB used of 8.0 GiB in 1 area"
    assert found.command == "sudo swapoff -a && sudo swapon -a"


@pytest.mark.parametrize(
    ("total", "free", "severity"), [(0, 0, "ok"), (512, 512, "note"), (16384, 16384, "warning"), (16384, 0, "note")]
)
def test_huge_pages_set_aside_for_nobody_are_found(total: int, free: int, severity: str) -> None:
    text = f"MemTotal: 134217728 kB\nHugePages_Total: {total}\nHugePages_Free: {free}\nHugepagesize: 2048 kB\n"
    assert answer("reserved-huge-pages", {"/proc/meminfo": text}).severity == severity


def test_a_memory_table_with_words_for_numbers_is_unknown() -> None:
    text = "MemTotal: much kB\nHugePages_Total: 0\nHugePages_Free: 0\nHugepagesize: 2048 kB\n"
    found = answer("reserved-huge-pages", {"/proc/meminfo": text})
    assert (found.severity, found.evidence[0].value) == ("unknown", "MemTotal: much kB")


def test_dockers_default_shared_memory_is_too_small() -> None:
    found = answer("shared-memory", shared_memory=FileSystemSize("/dev/shm", 64 << 20, 64 << 20))
    assert found.severity == "warning"
    assert "64 MiB" in found.message
    assert answer("shared-memory", shared_memory=FileSystemSize("/dev/shm", 2 * GIB, 2 * GIB)).severity == "ok"


@pytest.mark.parametrize(("limit_bytes", "severity"), [(128 * GIB, "ok"), (1 << 40, "ok"), (16 * GIB, "note")])
def test_a_memory_limit_below_the_machines_memory_is_a_note(limit_bytes: int, severity: str) -> None:
    limit = MemoryLimit("/sys/fs/cgroup/memory.max", limit_bytes)
    assert answer("memory-limit", memory_limit=limit).severity == severity


def test_a_refused_memory_policy_is_a_problem_with_the_seccomp_state() -> None:
    refused = MemoryPolicy(policy="default", refusal="bind: Operation not permitted")
    changes = {"/proc/self/status": STATUS.replace("Seccomp:\t0", "Seccomp:\t2")}
    found = answer("memory-policy", changes, memory_policy=refused)
    assert (found.severity, found.command) == ("problem", "docker run --cap-add SYS_NICE ...")
    assert [seen.value for seen in found.evidence] == ["bind: Operation not permitted", "Seccomp: 2 (a filter)"]


@pytest.mark.parametrize(
    ("policy", "severity"), [("default", "ok"), ("local", "ok"), ("bind:0", "warning"), ("interleave:0-1", "warning")]
)
def test_an_inherited_memory_policy_is_found(policy: str, severity: str) -> None:
    assert answer("inherited-policy", memory_policy=MemoryPolicy(policy=policy)).severity == severity


def test_a_policy_that_the_kernel_does_not_tell_is_unknown() -> None:
    assert answer("inherited-policy", memory_policy=MemoryPolicy(policy="", refusal="x")).severity == "unknown"
