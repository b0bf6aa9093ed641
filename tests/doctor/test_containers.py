"""The doctor, the host's counters and the start lines in a container whose files lxcfs replaces; the real commands."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.doctor.host_files_read import HostFiles
from ipexlaunch.launch.read_host_counters import HostCounterReader, cpu_times
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.machine.topology import Limit
from tests.doctor.hosts import answer, host_files, machine
from tests.doctor.trees import write_tree

CPU = "sys/devices/system/cpu"
VIEW = Limit(kind="view", file=f"{CPU}/online", cpus=frozenset({4, 5}))


def replaced(path: str, text: str = "") -> HostFiles:
    """The healthy host's files, one of which is the container's own."""
    files = host_files({path: text} if text else None)
    readings = {name: replace(reading, overmounted=name == path) for name, reading in files.readings.items()}
    return HostFiles(readings, files.patterns, live=True)


def lxc_tree(folder: Path) -> str:
    """Two sockets of four cores, of which lxcfs shows a container two: their directories say that all are online."""
    texts: dict[str, str] = {
        f"{CPU}/online": "4-5\n",
        f"{CPU}/present": "0-7\n",
        f"{CPU}/possible": "0-7\n",
        "proc/self/status": "Name:\tx\nSeccomp:\t0\nCpus_allowed_list:\t4-5\nMems_allowed_list:\t0-1\n",
        "proc/self/cgroup": "0::/\n",
        "proc/cpuinfo": "model name: x\n",
    }
    for cpu in range(8):
        texts[f"{CPU}/cpu{cpu}/online"] = "1\n"
        texts[f"{CPU}/cpu{cpu}/topology/core_id"] = f"{cpu % 4}\n"
        texts[f"{CPU}/cpu{cpu}/topology/physical_package_id"] = f"{cpu // 4}\n"
        texts[f"{CPU}/cpu{cpu}/topology/thread_siblings_list"] = f"{cpu}\n"
        texts[f"{CPU}/cpu{cpu}/topology/core_siblings_list"] = f"{cpu // 4 * 4}-{cpu // 4 * 4 + 3}\n"
    for node in range(2):
        texts[f"sys/devices/system/node/node{node}/cpulist"] = f"{node * 4}-{node * 4 + 3}\n"
        texts[f"sys/devices/system/node/node{node}/meminfo"] = f"Node {node} MemTotal: 8388608 kB\n"
    return write_tree(folder, texts)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ipexlaunch", *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.process
def test_the_commands_work_on_a_container_and_call_no_cpu_of_the_host_offline(tmp_path: Path) -> None:
    root = lxc_tree(tmp_path)
    found = command("doctor", "--root", root, "--format", "json")
    assert found.returncode == 0
    findings = {finding["check"]: finding for finding in json.loads(found.stdout)["findings"]}
    assert findings["offline-cpus"]["severity"] == "ok"
    assert findings["offline-cpus"]["message"] == "This container is shown 2 cpus; the host's 8 are not its to switch"
    assert findings["allowed-cpus"]["message"] == "2 cpus of the host's 8 may be used in this container"
    assert findings["memoryless-nodes"]["severity"] == "ok"
    assert "chcpu" not in found.stdout
    plan = command("plan", "--topology", root, "--format", "json")
    assert (plan.returncode, plan.stderr) == (0, "")
    [instance] = json.loads(plan.stdout)["instances"]
    assert (instance["cpus"], instance["nodes"]) == ("4-5", "1")
    document: dict[str, Any] = json.loads(command("topology", "--topology", root, "--format", "json").stdout)
    assert [cpu["id"] for cpu in document["cpus"]] == [4, 5]


def test_the_load_of_a_container_is_none_of_the_hosts() -> None:
    idle = answer("other-load", files=replaced("/proc/loadavg"))
    assert idle.severity == "unknown"
    assert "it is the container's own" in idle.message
    busy = answer("other-load", files=replaced("/proc/loadavg", text="9.0 9.0 9.0 9/99 9\n"))
    assert busy.severity == "warning"
    assert "on 8 cpus" in busy.message


def test_the_load_of_the_host_is_shared_by_the_hosts_cpus() -> None:
    few = tuple(cpu for cpu in machine().cpus if cpu.id in (4, 5))
    host = frozenset(range(64))
    ours = machine(cpus=few, present_cpus=host, offline_cpus=host - {4, 5}, limits=(VIEW,))
    found = answer("other-load", {"/proc/loadavg": "6.0 6.0 6.0 9/99 9\n"}, topology=ours)
    assert found.severity == "ok"
    assert "on 64 cpus" in found.message


def test_counters_of_a_container_tell_nothing_of_a_hypervisor() -> None:
    assert answer("stolen-time", files=replaced("/proc/stat")).severity == "unknown"


def test_swap_of_a_container_is_emptied_on_the_host() -> None:
    used = "Filename\tType\tSize\tUsed\tPriority\nnone virtual 1000000 500000 0\n"
    found = answer("swap", files=replaced("/proc/swaps", text=used))
    assert (found.severity, found.command) == ("warning", "")
    assert found.remedy.endswith("on the host")


def test_reserved_huge_pages_are_set_against_the_hosts_memory() -> None:
    text = "MemTotal: 1048576 kB\nHugePages_Total: 4\nHugePages_Free: 4\nHugepagesize: 1048576 kB\n"
    found = answer("reserved-huge-pages", files=replaced("/proc/meminfo", text=text))
    assert found.severity == "note"
    assert "4.0 GiB of 128.0 GiB" in found.message


def test_the_affinity_is_told_by_the_kernel_where_no_file_does() -> None:
    call = Limit(kind="affinity", file="sched_getaffinity(2)", cpus=frozenset(range(8)))
    found = answer("allowed-cpus", {"/proc/self/status": "Name:\tx\n"}, topology=machine(limits=(call,)))
    assert (found.severity, found.evidence[0].where) == ("ok", "sched_getaffinity(2)")


STAT = "cpu  8 0 0 8 0 0 0 0\ncpu0 4 0 0 4 0 0 0 0 0 0\ncpu1 4 0 0 4 0 0 0 0 0 0\n"


def test_counters_that_a_container_numbers_anew_are_not_taken_for_the_cores(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"proc/stat": STAT, "proc/vmstat": "pswpin 0\npswpout 0\n"})
    for busy, overmounted in ((None, lambda _: True), (8 / 100, lambda _: False)):
        watch = HostCounterReader(synthetic_machine("2c"), {0, 1}, root=root, overmounted=overmounted)
        watch.look(must=True)
        assert watch.readings[0].busy_s == busy
        assert watch.readings[0].swapped_in_pages == 0


def test_counters_that_count_nothing_tell_nothing() -> None:
    assert cpu_times("cpu0 0 0 0 0 0 0 0 0\n", [0], 100) is None
    assert cpu_times("cpu0 0 0 0 9 0 0 0 0\n", [0], 100) == (0, 0)
