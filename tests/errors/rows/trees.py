"""Trees of sysfs and procfs with one file that is not what a kernel writes, and topologies that somebody has edited."""

from __future__ import annotations

import io
import os
import tarfile

from ipexlaunch.machine.probe import probe
from ipexlaunch.machine.probe.archive import ArchiveFiles
from ipexlaunch.machine.probe.tree import LARGEST_FILE
from tests.errors.provoke import Row
from tests.machine.probe.rich_machine import sparse_files

PLACES = ("machine/probe/allowed", "machine/probe/cgroups", "machine/probe/cpus", "machine/probe/nodes",
          "machine/probe/read_machine", "machine/probe/tree", "machine/topology_file")  # fmt: skip

WHOLE = sparse_files()
CPU, NODE = "sys/devices/system/cpu", "sys/devices/system/node"
POD = "sys/fs/cgroup/kubepods/pod1"
STATUS = "proc/self/status"
CORE = {"physical_package_id": "0", "core_id": "0"}


def tree(changes: dict[str, str | bytes | None], whole: bool = True) -> Row:
    """A saved machine with other files; None takes one away, and a name with a slash at its end all below it."""
    files = dict(WHOLE) if whole else {}
    for path, content in changes.items():
        if content is None:
            files = {name: data for name, data in files.items() if name != path and not name.startswith(f"{path}/")}
        else:
            files[path] = content if isinstance(content, bytes) else f"{content}\n".encode()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as packed:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return Row("topology --topology m.tar", {"m.tar": file.getvalue()})


def live(changes: dict[str, str | bytes | None]) -> Row:
    """The same of a machine that runs."""
    files = {name: data for name, data in WHOLE.items() if name not in changes}
    return Row(lambda: probe(ArchiveFiles("/", files, {})), name=f"probe(a machine without {', '.join(changes)})")


def small(changes: dict[str, str | bytes | None], cpus: int = 2) -> Row:
    """The least that a tree holds: cpus, each a core, and other files."""
    least = {f"{CPU}/cpu{cpu}/topology/{key}": value for cpu in range(cpus) for key, value in CORE.items()}
    return tree({**least, **changes}, whole=False)


def edited(old: str, new: str) -> Row:
    """A topology file in which a word was changed."""
    assert old in FILE
    return Row("topology --topology m.yaml", {"m.yaml": FILE.replace(old, new)})


FILE = """\
schema: ipexlaunch/topology/1
source: made
cpus:
- {id: 0, core: 0, socket: 0, node: 0, l2: null, l3: null, kind: null}
- {id: 1, core: 0, socket: 0, node: 0, l2: null, l3: null, kind: null}
nodes:
- {id: 0, memory_bytes: 1073741824, distances: {"0": 10}}
allowed_cpus: "0-1"
allowed_nodes: "0"
cpu_quota: null
isa: []
"""


def _legacy(controller: str) -> dict[str, str | bytes | None]:
    mount = f"30 24 0:0 / /sys/fs/cgroup/{controller} rw - cgroup none rw,{controller}"
    return {"proc/self/cgroup": f"2:{controller}:/a", "proc/self/mountinfo": mount}


LEGACY, LEGACY_CPUSET = _legacy("cpu"), _legacy("cpuset")


ROWS = [
    # what is allowed
    tree({STATUS: "nothing of ours"}),
    tree({STATUS: "Name:\tx\nCpus_allowed_list:\tall"}),
    tree({STATUS: "Name:\tx\nCpus_allowed_list:\t"}),
    tree({STATUS: "Name:\tx\nCpus_allowed_list:\t90-91"}),
    small({**LEGACY_CPUSET, "sys/fs/cgroup/cpuset/a/cpuset.effective_cpus": b"\n"}),
    tree({f"{POD}/cpu.max": "fast"}),
    small({**LEGACY, "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "0", "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000"}),
    tree({f"{POD}/memory.max": "12 GB"}),
    tree({"proc/self/cgroup": "ours"}),
    tree({"proc/self/cgroup": None, "proc/self/cpuset": "ours"}),
    tree({"proc/self/mountinfo": "1 2"}),
    live({STATUS: None}),
    live({"proc/cpuinfo": None}),
    # cpus
    tree({CPU: None}),
    tree({CPU: None, f"{CPU}/smt/control": "on"}),
    small({f"{CPU}/offline": "0-1"}),
    tree({f"{CPU}/online": b"\n", STATUS: None, f"{POD}/cpuset.cpus.effective": None}),
    small({f"{CPU}/online": "0-5"}),
    small({f"{CPU}/online": "0", f"{CPU}/cpu1/online": "1"}),
    tree({f"{CPU}/cpu0/topology/core_cpus": "00000002"}),
    tree({f"{CPU}/cpu4/topology/core_cpus": "00000011"}),
    tree({f"{CPU}/cpu8/topology/package_cpus": "0000ff01"}),
    small(
        {
            f"{CPU}/cpu0/topology/thread_siblings": "3",
            f"{CPU}/cpu1/topology/physical_package_id": "1",
            f"{CPU}/cpu1/topology/thread_siblings": "3",
        }
    ),
    tree({f"{CPU}/cpu0/cache/index2/type": "Fast"}),
    tree({f"{CPU}/cpu0/cache/index2/shared_cpu_map": "00000002"}),
    tree({"sys/devices/cpu_core/cpus": "0-4"}),
    tree({f"{CPU}/smt/control": "on/off"}),
    tree({"proc/cpuinfo": "one"}),
    tree({"proc/cpuinfo": b"processor: 0\nmodel name: x"}),
    # nodes
    tree({f"{NODE}/node1/cpulist": "0-7"}),
    tree({f"{NODE}/node0/cpulist": "0-2"}),
    tree({f"{NODE}/online": "0-9"}),
    tree({f"{NODE}/online": "0-3"}),
    tree({f"{NODE}/node0/meminfo": "Node 0 MemTotal: all"}),
    tree({f"{NODE}/node0/distance": "10 20"}),
    tree({f"{NODE}/node0/distance": "near far 15 16 17"}),
    tree({f"{NODE}/node0/distance": "1 13 14 15 16"}),
    tree({"sys/bus/pci/devices/0000:3a:00.0/class": "0xdisplay"}),
    # any file
    tree({f"{CPU}/cpu0/topology/core_cpus": None}),
    tree({f"{CPU}/cpu0/topology/physical_package_id": None}),
    tree({f"{CPU}/cpu0/topology/physical_package_id": b"0"}),
    tree({f"{CPU}/cpu0/topology/physical_package_id": b"0\0\n"}),
    tree({f"{CPU}/cpu0/topology/physical_package_id": "zero"}),
    tree({f"{CPU}/cpu0/topology/core_cpus": "x"}),
    tree({f"{CPU}/cpu0/topology/core_cpus": b"\0\0"}),
    tree({f"{CPU}/cpu0/cache/index2/type": b"\n"}),
    tree({f"{CPU}/cpu0/cache/index2/type": None}),
    tree({f"{CPU}/online": b"0" * (LARGEST_FILE + 1)}),
    Row("topology --topology m", {f"m/{CPU}/online/x": "", f"m/{CPU}/cpu0/topology/core_id": "0\n"}),
    Row("topology --topology m", {"m/proc/cpuinfo/x": "", f"m/{CPU}/cpu0/topology/core_id": "0\n"}),
    Row(
        "topology --topology m",
        {f"m/{CPU}/cpu0/topology/core_id": "0\n"},
        before=lambda: os.symlink("cache", f"m/{CPU}/cpu0/cache"),
    ),
    # topologies in files
    edited(
        "core: 0, socket: 0, node: 0, l2: null, l3: null, kind: null}\nnodes",
        "core: 1, socket: 0, node: 7, l2: null, l3: null, kind: null}\nnodes",
    ),
    edited("id: 1, core: 0, socket: 0", "id: 1, core: 0, socket: 1"),
    edited("id: 1, core: 0", "id: 2, core: 1"),
    edited('{"0": 10}', '{"0": 10, "7": 20}'),
    edited('allowed_nodes: "0"', 'allowed_nodes: "7"'),
    edited("- {id: 1", "- {id: 0"),
]

ELSEWHERE: dict[str, str] = {}
