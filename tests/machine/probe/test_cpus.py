"""Cores, sockets, dies, clusters, caches, kinds, and which cpus are online, on kernels old and strange."""

from __future__ import annotations

import pytest

from tests.machine.probe.small_tree import CPU, NODE, Text, cores, grouped, machine, problem, topology

SIBLINGS: Text = {topology(cpu, "thread_siblings_list"): "0,2" if cpu % 2 == 0 else "1,3" for cpu in range(4)}


def test_the_least_that_a_tree_can_hold_is_a_machine() -> None:
    found = machine(cores(2))
    assert grouped(found, "core") == [[0], [1]]
    assert (found.nodes, found.cpus[0].node, found.cpus[0].l3, found.isa) == ((), None, None, frozenset())
    assert found.allowed_cpus == found.present_cpus == found.possible_cpus == {0, 1}
    assert found.source == "sysfs:made"


def test_siblings_come_from_the_siblings_file_under_any_of_its_names() -> None:
    for name in ("core_cpus_list", "thread_siblings_list"):
        assert grouped(machine(cores(4, core_id="0", **{name: "0-3"})), "core") == [[0, 1, 2, 3]]
    for name in ("core_cpus", "thread_siblings"):
        assert grouped(machine(cores(4, core_id="0", **{name: "f"})), "core") == [[0, 1, 2, 3]]


def test_core_id_repeats_within_a_package_and_siblings_decide() -> None:
    assert grouped(machine(cores(4, core_id="0"), SIBLINGS), "core") == [[0, 2], [1, 3]]


def test_without_siblings_files_core_id_decides_within_package_and_die() -> None:
    dies: Text = {topology(cpu, "die_id"): str(cpu // 2) for cpu in range(4)}
    assert grouped(machine(cores(4, core_id="7")), "core") == [[0, 1, 2, 3]]
    found = machine(cores(4, core_id="7"), dies)
    assert grouped(found, "core") == [[0, 1], [2, 3]]
    assert grouped(found, "die") == [[0, 1], [2, 3]]
    assert "cpu1/topology/core_id: there is no such file" in problem(cores(2), {topology(1, "core_id"): None})


def test_core_id_repeats_in_every_node_of_a_package_and_is_no_id_where_it_is_minus_one() -> None:
    nodes: Text = {f"{NODE}/node0/cpulist": "0-1", f"{NODE}/node1/cpulist": "2-3"}
    assert grouped(machine(cores(4, core_id="7"), nodes), "core") == [[0, 1], [2, 3]]
    assert grouped(machine(cores(2, core_id="-1")), "core") == [[0], [1]]


def test_a_tree_without_topology_directories_keeps_its_caches_and_nodes() -> None:
    files: Text = {f"{NODE}/node0/cpulist": "0-1", f"{NODE}/node1/cpulist": "2-3"}
    for cpu in range(4):
        files[f"{CPU}/cpu{cpu}/online"] = "1"
        for name, text in (("level", "3"), ("type", "Unified"), ("shared_cpu_list", "0-1" if cpu < 2 else "2-3")):
            files[f"{CPU}/cpu{cpu}/cache/index3/{name}"] = text
    found = machine(files)
    assert [grouped(found, key) for key in ("core", "l3")] == [[[0], [1], [2], [3]], [[0, 1], [2, 3]]]
    assert [cpu.node for cpu in found.cpus] == [0, 0, 1, 1]
    assert found.gaps == (
        "nothing says which cpus share a core or a socket: each is taken for a core, all for one socket",
    )


def test_old_amd_modules_are_two_cores_although_listed_as_siblings() -> None:
    cpuinfo: Text = {"proc/cpuinfo": "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 21"}
    pairs: Text = {topology(cpu, "thread_siblings_list"): "0-1" if cpu < 2 else "2-3" for cpu in range(4)}
    other: Text = {"proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6"}
    assert grouped(machine(cores(4), pairs, other), "core") == [[0, 1], [2, 3]]
    assert grouped(machine(cores(4), pairs, cpuinfo), "core") == [[0], [1], [2], [3]]
    assert grouped(machine(cores(4), pairs), "core") == [[0], [1], [2], [3]]  # nothing else has unlike ids
    same_ids: Text = {topology(cpu, "core_id"): str(cpu // 2) for cpu in range(4)}
    assert grouped(machine(cores(4), pairs, same_ids, cpuinfo), "core") == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {topology(0, "thread_siblings_list"): "2"},
            "cpu0/topology/thread_siblings_list: it does not name cpu 0 itself",
        ),
        (
            {topology(1, "thread_siblings_list"): "1-2"},
            "cpu1/topology/thread_siblings_list: it names cpu 2, which core 0",
        ),
        (
            {topology(2, "physical_package_id"): "1"},
            "cpu0/topology/thread_siblings_list: it names cpu 2 of another socket",
        ),
        ({topology(0, "thread_siblings_list"): None}, "cpu0/topology/thread_siblings_list: there is no such file"),
        ({topology(1, "thread_siblings_list"): None}, "cpu1/topology/thread_siblings_list: there is no such file"),
        ({topology(1, "thread_siblings_list"): "1;3"}, "it holds '1;3', which is no id or range"),
    ],
)
def test_siblings_that_contradict_each_other_are_named(change: Text, words: str) -> None:
    assert words in problem(cores(4), SIBLINGS, change)


def test_sockets_without_an_id_are_known_by_their_lowest_cpu() -> None:
    pairs: Text = {topology(cpu, "core_siblings_list"): "0-1" if cpu < 2 else "2-3" for cpu in range(4)}
    assert [cpu.socket for cpu in machine(cores(4, physical_package_id="-1"), pairs).cpus] == [0, 0, 2, 2]
    absent: Text = {topology(cpu, "physical_package_id"): None for cpu in range(4)}
    assert [cpu.socket for cpu in machine(cores(4), pairs, absent).cpus] == [0, 0, 2, 2]
    assert [cpu.socket for cpu in machine(cores(4, physical_package_id="65535"), pairs).cpus] == [0, 0, 2, 2]
    zeros: Text = {topology(cpu, "core_siblings"): "00000000" for cpu in range(2)}
    assert [cpu.socket for cpu in machine(cores(2, physical_package_id="-1"), zeros).cpus] == [0, 1]
    assert [cpu.socket for cpu in machine(cores(2, physical_package_id="8442")).cpus] == [8442, 8442]


def test_cpus_whose_socket_nothing_tells_are_one_socket_and_that_is_said() -> None:
    absent: Text = {topology(cpu, "physical_package_id"): None for cpu in range(2)}
    for parts in ((cores(2), absent), (cores(2, physical_package_id="-1"),)):
        found = machine(*parts)
        assert [cpu.socket for cpu in found.cpus] == [0, 0]
        assert found.gaps == ("nothing says which cpus share a socket: all are taken for one socket",)
    one: Text = {topology(0, "physical_package_id"): None}
    assert "cpu0/topology/physical_package_id: there is no such file" in problem(cores(2), one)


def test_packages_that_overlap_are_named() -> None:
    overlapping: Text = {topology(cpu, "core_siblings"): mask for cpu, mask in enumerate(("1", "3"))}
    words = "cpu1/topology/core_siblings: it names cpu 0, which the package of cpu 0 has too"
    assert words in problem(cores(2), overlapping)


def test_clusters_and_dies_that_the_firmware_does_not_number_are_unknown() -> None:
    for number in ("-1", "65535", "4294967295"):
        found = machine(cores(2, cluster_id=number, die_id="-1", cluster_cpus_list="{cpu}"))
        assert grouped(found, "cluster") == grouped(found, "die") == []
    assert grouped(machine(cores(4, cluster_id="5", cluster_cpus="f")), "cluster") == [[0, 1, 2, 3]]


def cache(cpu: int, index: int, level: int, shared: str, kind: str = "Unified") -> Text:
    base = f"{CPU}/cpu{cpu}/cache/index{index}"
    return {f"{base}/level": str(level), f"{base}/type": kind, f"{base}/shared_cpu_list": shared}


def test_cache_domains_hold_online_cpus_only_and_no_instruction_caches() -> None:
    found = machine(
        cores(4),
        {f"{CPU}/online": "0-2", f"{CPU}/cpu3/online": "0"},
        cache(0, 0, 1, "0"),
        cache(0, 1, 2, "0-3", "Instruction"),
        cache(0, 2, 2, "0"),
        cache(0, 7, 3, "0-3"),
        cache(1, 2, 2, "1-2"),
        {f"{CPU}/cpu1/cache/uevent": ""},
    )
    assert grouped(found, "l2") == [[0], [1, 2]]
    assert grouped(found, "l3") == [[0, 1, 2]]
    assert found.offline_cpus == {3}


def test_a_cache_mask_of_zeros_is_its_own_cpu() -> None:
    base = f"{CPU}/cpu0/cache/index0"
    zeros: Text = {f"{base}/level": "3", f"{base}/type": "Unified", f"{base}/shared_cpu_map": "00000000,00000000"}
    assert grouped(machine(cores(2), zeros), "l3") == [[0]]


def test_caches_that_make_no_sense_are_named() -> None:
    assert "index0/shared_cpu_list: it does not name cpu 0 itself" in problem(cores(2), cache(0, 0, 3, "1"))
    assert "index0/type: it holds 'Magic', which is no type of cache" in problem(cores(2), cache(0, 0, 3, "0", "Magic"))
    only_level = {path: text for path, text in cache(0, 0, 3, "0").items() if path.endswith("level")}
    assert "index0/type: there is no such file" in problem(cores(2), only_level)
    no_list: Text = {f"{CPU}/cpu0/cache/index0/shared_cpu_list": None}
    assert "index0/shared_cpu_map: there is no such file" in problem(cores(2), cache(0, 0, 3, "0"), no_list)


def test_kinds_by_intels_hybrid_units() -> None:
    def kinds(core: str | None, atom: str | None, low: str | None = None) -> list[str | None]:
        names = {"cpu_core": core, "cpu_atom": atom, "cpu_lowpower": low}
        found = machine(cores(4), {f"sys/devices/{name}/cpus": text for name, text in names.items()})
        return [cpu.kind for cpu in found.cpus]

    fast, slow = "performance", "efficiency"
    assert kinds("0-1", "2-3") == [fast, fast, slow, slow]
    assert kinds("0-1", "2", "3") == [fast, fast, slow, slow]
    assert kinds("0-3", None) == kinds(None, "0-3") == [None] * 4
    only: Text = {"sys/devices/cpu_core/cpus": "0-1"}
    assert "sys/devices/cpu_atom/cpus: neither it nor its counterpart names cpu 2" in problem(cores(4), only)
    only = {"sys/devices/cpu_atom/cpus": "0-1"}
    assert "sys/devices/cpu_core/cpus: neither it nor its counterpart names cpu 2" in problem(cores(4), only)


def test_kinds_by_capacity_with_the_schedulers_margin_and_never_by_clock() -> None:
    def kinds(*capacities: int) -> list[str | None]:
        capacity: Text = {f"{CPU}/cpu{cpu}/cpu_capacity": str(value) for cpu, value in enumerate(capacities)}
        return [cpu.kind for cpu in machine(cores(len(capacities)), capacity).cpus]

    assert kinds(1024, 1024) == [None, None]
    assert kinds(1024, 1002, 980) == [None] * 3, "one kind of core whose turbo differs"
    assert kinds(404, 404, 1002, 1024) == ["efficiency", "efficiency", "performance", "performance"]
    clock: Text = {f"{CPU}/cpu{cpu}/cpufreq/cpuinfo_max_freq": str(1000000 * (cpu + 1)) for cpu in range(2)}
    assert [cpu.kind for cpu in machine(cores(2), clock).cpus] == [None, None]
    first: Text = {f"{CPU}/cpu0/cpu_capacity": "1024"}
    assert "cpu1/cpu_capacity: there is no such file" in problem(cores(2), first)


def test_without_a_list_of_online_cpus_each_cpu_says_so_itself() -> None:
    files = cores(6)
    files |= {topology(2, "core_id"): None, topology(2, "physical_package_id"): None, f"{CPU}/cpu2/online": "0"}
    files |= {f"{CPU}/cpu1/online": "1", f"{CPU}/offline": "4-9"}
    found = machine(files)
    assert [cpu.id for cpu in found.cpus] == [0, 1, 3]
    assert found.offline_cpus == {2, 4, 5}
    assert problem(cores(1), {f"{CPU}/cpu0/online": "0"}).startswith(f"{CPU}: no cpu is online")


def test_directories_of_offline_cpus_may_have_a_topology() -> None:
    online: Text = {f"{CPU}/online": "0-1,3", f"{CPU}/cpu2/online": "0"}
    assert [cpu.id for cpu in machine(cores(4), online).cpus] == [0, 1, 3]
    assert [cpu.id for cpu in machine(cores(3), {f"{CPU}/online": "0-2", f"{CPU}/cpu7/uevent": ""}).cpus] == [0, 1, 2]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({f"{CPU}/online": "0-2"}, "cpu2: there is no such directory, and sys/devices/system/cpu/online names the cpu"),
        ({f"{CPU}/online": "0"}, "online: it does not name cpu 1, which is online by its own directory"),
        ({f"{CPU}/online": "0", f"{CPU}/cpu1/online": "1"}, "online: it does not name cpu 1"),
        ({f"{CPU}/online": ""}, "online: it names no cpu"),  # and no affinity is told
        ({f"{CPU}/smt/control": "o n"}, "smt/control: it holds 'o n', which is no state of SMT"),
    ],
)
def test_what_contradicts_itself_is_named(files: Text, words: str) -> None:
    assert words in problem(cores(2), files)


def test_what_is_no_machine_is_said() -> None:
    assert problem({}).startswith(f"{CPU}: there is no such directory; a machine is")
    assert problem({f"{CPU}/online": "0"}).startswith(f"{CPU}: it holds no cpu directory")
    assert problem({CPU: "a file"}).startswith(f"{CPU}: there is no such directory")


def test_lists_that_name_more_than_there_is_are_cut_to_what_is_there() -> None:
    files: Text = {f"{CPU}/present": "0-7", f"{CPU}/possible": "0-63", f"{CPU}/isolated": "(null)"}
    nodes: Text = {f"{NODE}/node0/cpulist": "0-87"}
    found = machine(cores(2, core_siblings_list="0-15", thread_siblings_list="{cpu},9"), files, nodes)
    assert (found.present_cpus, found.possible_cpus) == (frozenset(range(8)), frozenset(range(64)))
    assert [cpu.node for cpu in found.cpus] == [0, 0]
    assert found.isolated_cpus == frozenset()
