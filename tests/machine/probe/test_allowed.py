"""What a process may use: affinity, cpusets of cgroup v1 and v2 at any mount point, and quotas of every level."""

from __future__ import annotations

import pytest

from ipexlaunch.machine.topology import Topology
from tests.machine.probe.small_tree import NODE, Text, cores, machine, problem

V2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
CPUSET = "33 25 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset"
CPU = "34 25 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
DISK = "36 35 98:0 / / rw,noatime master:1 - ext3 /dev/root rw,errors=continue"


def mounted(*lines: str) -> Text:
    return {"proc/self/mountinfo": "\n".join((DISK, *lines))}


def grouped_in(*lines: str) -> Text:
    return {"proc/self/cgroup": "\n".join(lines)}


def status(cpus: str, mems: str | None = None) -> Text:
    lines = ["Name:\tpython", f"Cpus_allowed_list:\t{cpus}"] + ([] if mems is None else [f"Mems_allowed_list:\t{mems}"])
    return {"proc/self/status": "\n".join(lines)}


def two_nodes() -> Text:
    files: Text = {**cores(8)}
    for node, cpus in ((0, "0-3"), (1, "4-7"), (2, "")):
        files[f"{NODE}/node{node}/cpulist"] = cpus
        files[f"{NODE}/node{node}/meminfo"] = f"Node {node} MemTotal: {0 if node == 2 else 1024} kB"
    return files


def allowed(*parts: Text) -> tuple[list[int], list[int]]:
    found = machine(two_nodes(), *parts)
    return sorted(found.allowed_cpus), sorted(found.allowed_nodes)


def quota(*parts: Text) -> float | None:
    return machine(two_nodes(), *parts).cpu_quota


def test_nothing_said_is_everything_allowed() -> None:
    assert allowed() == (list(range(8)), [0, 1])
    assert machine(two_nodes()).limits == ()


def test_affinity_and_mems_allowed_narrow() -> None:
    assert allowed(status("1-2,5", "0-2")) == ([1, 2, 5], [0, 1])
    assert allowed(status("5-63", "1")) == ([5, 6, 7], [1])
    assert allowed(status("5")) == ([5], [0, 1])


def test_the_nearest_level_with_files_is_the_cpuset_of_cgroup_v2() -> None:
    tree: Text = {
        "sys/fs/cgroup/cpuset.cpus.effective": "0-7",
        "sys/fs/cgroup/cpuset.mems.effective": "0-1",
        "sys/fs/cgroup/user.slice/cpuset.cpus.effective": "2-6",
        "sys/fs/cgroup/user.slice/cpuset.mems.effective": "1",
        "sys/fs/cgroup/user.slice/session.scope/cgroup.controllers": "memory pids",
    }
    mine = grouped_in("1:name=systemd:/x", "0::/user.slice/session.scope")
    assert allowed(mounted(V2), mine, tree) == ([2, 3, 4, 5, 6], [1])
    assert allowed(mounted(V2), grouped_in("0::/"), tree) == (list(range(8)), [0, 1])
    assert allowed(mounted(V2), grouped_in("0::/elsewhere/not/shown"), tree) == (list(range(8)), [0, 1])
    limit = machine(two_nodes(), mounted(V2), mine, tree).limits[0]
    assert (limit.kind, limit.file) == ("cpuset", "sys/fs/cgroup/user.slice/cpuset.cpus.effective")


def test_a_cut_tree_that_has_only_what_was_asked_for_or_only_nodes_is_restricted_all_the_same() -> None:
    tree: Text = {"sys/fs/cgroup/a/b/cpuset.cpus": "", "sys/fs/cgroup/a/cpuset.cpus": "2-5"}
    assert allowed(mounted(V2), grouped_in("0::/a/b"), tree) == ([2, 3, 4, 5], [0, 1])
    nodes: Text = {"sys/fs/cgroup/a/cpuset.mems.effective": "1"}
    assert allowed(mounted(V2), grouped_in("0::/a"), nodes) == (list(range(8)), [1])


def test_a_container_without_a_cgroup_namespace_sees_its_group_at_the_mount_point() -> None:
    tree: Text = {"sys/fs/cgroup/cpuset/cpuset.cpus": "1", "sys/fs/cgroup/cpuset/cpuset.mems": "0"}
    shown = CPUSET.replace(" / ", " /docker/abc ", 1)
    assert allowed(mounted(shown), grouped_in("3:cpuset:/docker/abc"), tree) == ([1], [0])
    tree |= {"sys/fs/cgroup/cpuset/sub/cpuset.cpus": "1-2"}
    assert allowed(mounted(shown), grouped_in("3:cpuset:/docker/abc/sub"), tree) == ([1, 2], [0])
    assert allowed(mounted(V2), grouped_in("0::/../../other"), {"sys/fs/cgroup/cpuset.cpus.effective": "3"})[0] == [3]


def test_cgroup_v1_allows_what_is_configured_unless_mounted_in_v2_mode() -> None:
    base = "sys/fs/cgroup/cpuset/job"
    tree: Text = {
        f"{base}/cpuset.cpus": "0-3",
        f"{base}/cpuset.mems": "0",
        f"{base}/cpuset.effective_cpus": "0-1",
        f"{base}/cpuset.effective_mems": "0-1",
    }
    mine = grouped_in("2:cpuset:/job")
    assert allowed(mounted(CPUSET), mine, tree) == ([0, 1, 2, 3], [0])
    assert allowed(mounted(f"{CPUSET},cpuset_v2_mode"), mine, tree) == ([0, 1], [0, 1])


def test_a_cpuset_file_system_has_names_without_prefix() -> None:
    files: Text = {
        "proc/mounts": "none /dev/cpuset cpuset rw 0 0\n/dev/sda1 / ext3 rw 0 0",
        "proc/self/cpuset": "/dummy",
        "dev/cpuset/dummy/cpus": "2-3",
        "dev/cpuset/dummy/mems": "1",
    }
    assert allowed(files) == ([2, 3], [1])
    assert allowed(files | {"proc/self/cpuset": ""}) == (list(range(8)), [0, 1])
    assert allowed({"proc/mounts": files["proc/mounts"]}) == (list(range(8)), [0, 1])


def test_proc_self_cpuset_is_the_path_in_cgroup_v2_where_no_other_is_known() -> None:
    files: Text = {
        "proc/mounts": "none /cgroup/memory cgroup rw,memory 0 0\nnone /cgroup/unified cgroup2 rw 0 0",
        "proc/self/cpuset": "/job_1",
        "cgroup/unified/job_1/cpuset.cpus.effective": "0-5",
        "cgroup/unified/job_1/cpuset.mems.effective": "0",
    }
    assert allowed(files) == ([0, 1, 2, 3, 4, 5], [0])


def test_both_versions_side_by_side_and_the_first_mount_of_each_counts() -> None:
    unified = V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ")
    twice = CPUSET.replace("/sys/fs/cgroup/cpuset", "/elsewhere")
    tree: Text = {"sys/fs/cgroup/cpuset/cpuset.cpus": "4-7", "elsewhere/cpuset.cpus": "0"}
    mine = grouped_in("3:cpuset:/", "0::/user.slice")
    assert allowed(mounted(unified, CPUSET, twice), mine, tree)[0] == [4, 5, 6, 7]
    assert allowed(mounted(CPUSET), grouped_in("0::/"), tree)[0] == list(range(8))


def test_without_a_mount_table_the_usual_places_are_tried() -> None:
    for path, mine in (
        ("sys/fs/cgroup/cpuset.cpus.effective", grouped_in("0::/")),
        ("sys/fs/cgroup/cpuset/cpuset.cpus", grouped_in("3:cpuset:/")),
        ("dev/cpuset/cpus", grouped_in("3:cpuset:/")),
    ):
        assert allowed({path: "3"}, mine)[0] == [3]


@pytest.mark.parametrize(
    "files",
    [
        {"sys/fs/cgroup/cpu.max": "150000 100000", "sys/fs/cgroup/memory.max": "4096"},
        {
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "4096",
        },
        {"proc/mounts": "none /cg cgroup2 rw 0 0", "cg/cpu.max": "150000 100000", "cg/memory.max": "4096"},
    ],
)
def test_limits_of_a_tree_that_does_not_tell_its_group_are_those_at_the_mount_point_and_that_is_said(
    files: Text,
) -> None:
    found = machine(two_nodes(), files)
    assert (found.cpu_quota, found.memory_limit_bytes) == (1.5, 4096)
    assert found.gaps == (
        "proc/self/cgroup is missing: limits are those of the groups at the mount points, and a group below may have "
        "tighter ones",
    )


def test_escapes_and_bytes_in_mount_points_and_group_names() -> None:
    point = CPUSET.replace("/sys/fs/cgroup/cpuset", r"/my\040cpu\134sets\9")
    tree: Text = {"my cpu\\sets\\9/b\udcff/cpuset.cpus": "6"}
    found = machine(two_nodes(), mounted(point), grouped_in("3:cpuset:/b\udcff"), tree)
    assert found.allowed_cpus == {6}
    assert found.limits[0].file == "my cpu\\sets\\9/b\\udcff/cpuset.cpus"


def test_a_group_cannot_lead_out_of_its_mount_point() -> None:
    tree: Text = {"sys/fs/cgroup/cpuset/a/cpuset.cpus": "1", "etc/cpuset.cpus": "2"}
    mine = grouped_in("3:cpuset:/a/../../../../etc")
    assert allowed(mounted(CPUSET), mine, tree)[0] == list(range(8))


def test_the_tightest_quota_of_all_levels_counts() -> None:
    tree: Text = {
        "sys/fs/cgroup/kubepods/cpu.max": "350000 100000",
        "sys/fs/cgroup/kubepods/pod/cpu.max": "max 100000",
        "sys/fs/cgroup/kubepods/pod/c/cpu.max": "2500000 100000",
    }
    mine = grouped_in("0::/kubepods/pod/c")
    assert quota(mounted(V2), mine, tree) == 3.5
    assert [limit.quota for limit in machine(two_nodes(), mounted(V2), mine, tree).limits] == [25.0, 3.5]
    base = "sys/fs/cgroup/cpu,cpuacct"
    tree = {
        f"{base}/cpu.cfs_quota_us": "-1",
        f"{base}/a/cpu.cfs_quota_us": "150000",
        f"{base}/a/cpu.cfs_period_us": "100000",
    }
    assert quota(mounted(CPU), grouped_in("4:cpu,cpuacct:/a"), tree) == 1.5
    assert quota(mounted(CPU), grouped_in("4:cpu,cpuacct:/"), tree) is None


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (status(""), "proc/self/status: Cpus_allowed_list names no cpu, and this process runs on one"),
        ({"proc/self/status": "no such thing"}, "proc/self/status: it has no line 'Cpus_allowed_list: CPUS', nor any"),
        (status("x"), "proc/self/status: Cpus_allowed_list: it holds 'x'"),
        (status("9"), "proc/self/status: it allows cpus 9, of which none is online and allowed"),
        (status("0", "2"), "proc/self/status: it allows nodes 2, and of these none has memory"),
        (mounted("nonsense"), "proc/self/mountinfo: it holds 'nonsense', which is no mount"),
        ({"proc/mounts": "none / ext3"}, "proc/mounts: it holds 'none / ext3', which is no mount"),
        (mounted(V2) | grouped_in("0:/"), "proc/self/cgroup: it holds '0:/', not 'NUMBER:CONTROLLERS:/PATH'"),
        (mounted(V2) | {"proc/self/cpuset": "x"}, "proc/self/cpuset: it holds 'x', which is no path"),
        (
            mounted(V2) | grouped_in("0::/") | {"sys/fs/cgroup/cpuset.cpus.effective": ""},
            "cpuset.cpus.effective: it names no cpu, and this process runs on one",
        ),
        (
            mounted(V2)
            | grouped_in("0::/")
            | {"sys/fs/cgroup/cpuset.cpus.effective": "0", "sys/fs/cgroup/cpuset.mems.effective": ""},
            "cpuset.mems.effective: it names no node, and this process has memory",
        ),
        (mounted(V2) | grouped_in("0::/") | {"sys/fs/cgroup/cpu.max": "0 100000"}, "cpu.max: it holds '0 100000', not"),
        (mounted(V2) | grouped_in("0::/") | {"sys/fs/cgroup/cpu.max": "max"}, "cpu.max: it holds 'max', not 'QUOTA"),
        (
            mounted(CPU) | grouped_in("4:cpu:/") | {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "5"},
            "cpu.cfs_period_us: there is no such file",
        ),
        (
            mounted(CPU)
            | grouped_in("4:cpu:/")
            | {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "0", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "1"},
            "cpu.cfs_quota_us: it holds 0, and the period is 1 microseconds",
        ),
    ],
)
def test_what_is_malformed_is_named(files: Text, words: str) -> None:
    assert words in problem(two_nodes(), files)


def test_on_a_kernel_without_nodes_no_memory_is_allowed_or_refused() -> None:
    found: Topology = machine(cores(2), status("0-1", "0"))
    assert (found.nodes, found.allowed_nodes) == ((), frozenset())


def test_of_several_mounts_of_one_hierarchy_the_one_that_shows_files_counts() -> None:
    """A job on an A64FX: five mounts of cpu,cpuacct (containers in containers); the quota is in the last of them."""
    places = ("/sys/fs/cgroup", "/sys/fs/cgroup", "/var/lib/docker/m/sys/fs/cgroup", "/x", "/var/opt/krm/sys/fs/cgroup")
    mounts = [f"cgroup {place}/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0" for place in places]
    files: Text = {
        "proc/mounts": "\n".join(["# Other mounts removed", "# x", *mounts]),
        "proc/self/cgroup": "11:cpu,cpuacct:/jobs.slice/docker-361a.scope/7.scope",
        "var/opt/krm/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "2400000",
        "var/opt/krm/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu,cpuacct/jobs.slice/note": "a folder that was left, without a file of the kernel",
    }
    assert quota(files) == 24.0


def memory(*parts: Text) -> tuple[int | None, list[tuple[str, int | None, int | None]]]:
    found = machine(two_nodes(), *parts)
    rows = [(limit.file.rpartition("/")[2], limit.memory_bytes, limit.page_bytes) for limit in found.limits]
    return found.memory_limit_bytes, [row for row in rows if row[1] is not None]


def test_memory_limits_of_every_level_are_read_and_the_tightest_counts() -> None:
    tree: Text = {
        "sys/fs/cgroup/a/memory.max": "4096",
        "sys/fs/cgroup/a/memory.swap.max": "1",
        "sys/fs/cgroup/a/b/memory.max": "max",
        "sys/fs/cgroup/a/b/memory.high": "2048",
    }
    found = memory(mounted(V2), grouped_in("0::/a/b"), tree)
    assert found == (2048, [("memory.high", 2048, None), ("memory.max", 4096, None)])
    legacy = "35 25 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
    tree = {
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "8192",
        "sys/fs/cgroup/memory/job/memory.memsw.limit_in_bytes": "1",
    }
    assert memory(mounted(legacy), grouped_in("4:memory:/job"), tree)[0] == 8192
    assert memory(mounted(legacy), grouped_in("4:memory:/"), tree)[0] is None
    assert memory() == (None, [])


def test_limits_of_huge_pages_are_read_for_the_sizes_that_the_machine_has() -> None:
    tree: Text = {
        f"{NODE}/node0/hugepages/hugepages-2048kB/nr_hugepages": "7",
        "sys/fs/cgroup/a/hugetlb.2MB.max": "0",
        "sys/fs/cgroup/a/hugetlb.1GB.max": "0",
    }
    assert memory(mounted(V2), grouped_in("0::/a"), tree) == (None, [("hugetlb.2MB.max", 0, 2 << 20)])


def test_a_memory_limit_that_is_no_size_is_named() -> None:
    found = problem(two_nodes(), mounted(V2), grouped_in("0::/"), {"sys/fs/cgroup/memory.max": "much"})
    assert found.startswith("sys/fs/cgroup/memory.max: it holds 'much', which is no size in bytes; put back what the")
