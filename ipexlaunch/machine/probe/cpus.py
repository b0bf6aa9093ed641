"""Online cpus with their cores, sockets, dies, clusters, caches and kinds, from sys/devices/system/cpu.

Source: Documentation/admin-guide/cputopology.rst, Documentation/ABI/stable/sysfs-devices-system-cpu and
Documentation/ABI/testing/sysfs-devices-system-cpu of the Linux kernel. Kinds of cores on hybrid machines: the same
(cpu_capacity), and the event sources cpu_core and cpu_atom of arch/x86/events/intel/core.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ipexlaunch.machine.cpulist import CPU, numbers_of, shortened
from ipexlaunch.machine.probe.tree import Tree
from ipexlaunch.machine.topology import Cpu, Kind

SIBLINGS = ("core_cpus", "thread_siblings", "core_cpus_list", "thread_siblings_list")
PACKAGE = ("package_cpus", "core_siblings", "package_cpus_list", "core_siblings_list")
DIE = ("die_cpus", "die_cpus_list")
CLUSTER = ("cluster_cpus", "cluster_cpus_list")
SHARED = ("shared_cpu_map", "shared_cpu_list")
"""Names of the same fact, the best first: new names before old ones, and masks before lists, because hwloc reads masks
and trees that were corrected by hand for it have only these right."""

CACHE_TYPES = ("Data", "Instruction", "Unified")

NO_ID = (-1, 65535, 4294967295)
"""What the kernel prints for an id that the firmware does not give: -1, or it as u16 or u32 (x86's BAD_APICID)."""


def cpu_directories(tree: Tree) -> frozenset[int]:
    """Ids of the cpuN directories, online or not."""
    names = tree.names(CPU)
    if names is None:
        raise tree.problem(CPU, "there is no such directory", "a machine is a directory with sys/ and proc/ in it")
    ids = numbers_of(names, "cpu")
    if not ids:
        raise tree.problem(CPU, "it holds no cpu directory")
    return ids


def unknown_topology(tree: Tree, cpus: Sequence[Cpu]) -> str:
    """What no file tells of cores and sockets, and what is assumed instead; empty where they are told.

    gVisor has cpuN directories with nothing in them, some boards and cut trees no topology directories.
    """
    order = [cpu.id for cpu in cpus]
    unknown, assumed = [], []
    if _spelling(tree, order, (*SIBLINGS, "core_id")) is None:
        unknown, assumed = ["a core"], ["each is taken for a core"]
        if all(cpu.l2 is None and cpu.l3 is None for cpu in cpus):
            unknown.append("a cache")
    if _socket_unknown(tree, order):
        unknown.append("a socket")
        assumed.append("all for one socket" if assumed else "all are taken for one socket")
    *others, last = unknown or [""]
    return (
        f"nothing says which cpus share {', '.join(others)}{' or ' if others else ''}{last}: {', '.join(assumed)}"
        * bool(last)
    )


def read_cpus(tree: Tree, online: frozenset[int], node_of: dict[int, int], compute_units: bool) -> tuple[Cpu, ...]:
    """Every online cpu, ascending by id.

    Args:
        tree: where to read.
        online: ids of the online cpus.
        node_of: cpu id to node; empty where there are no nodes.
        compute_units: whether SMT siblings with different core_id are cores of their own (AMD families 15h and 16h:
            the kernel lists the two integer cores of a module as siblings, because they have one cu_id; match_smt in
            arch/x86/kernel/smpboot.c).
    """
    order = sorted(online)
    socket = _sockets(tree, order, online)
    die = _groups(tree, order, online, "die_id", DIE, socket)
    core = _cores(tree, order, online, (socket, die, node_of), compute_units)
    cluster = _groups(tree, order, online, "cluster_id", CLUSTER, socket)
    caches = _caches(tree, order, online)
    kind = read_kinds(tree, order, online)
    l2, l3 = caches[2], caches[3]
    return tuple(
        Cpu(
            id=cpu,
            core=core[cpu],
            socket=socket[cpu],
            node=node_of.get(cpu),
            l2=l2.get(cpu),
            l3=l3.get(cpu),
            kind=kind.get(cpu),
            die=die.get(cpu),
            cluster=cluster.get(cpu),
        )
        for cpu in order
    )


def _topology(cpu: int, name: str) -> str:
    return f"{CPU}/cpu{cpu}/topology/{name}"


def _spelling(tree: Tree, order: Sequence[int], names: Iterable[str]) -> str | None:
    """Which of the names this machine uses, None where none. A machine does not change its mind from cpu to cpu."""
    names = tuple(names)
    for cpu in (order[0], order[-1]):
        for name in names:
            if tree.tells(_topology(cpu, name)):
                return name
    return None


def _members(tree: Tree, path: str, cpu: int, online: frozenset[int]) -> frozenset[int]:
    """The online cpus that a file of a cpu names, itself among them; none (old Itanium kernels) is itself alone."""
    members = tree.ids(path)
    if not members:
        return frozenset((cpu,))
    if cpu not in members:
        raise tree.problem(path, f"it does not name cpu {cpu} itself")
    return members if members <= online else members & online


def _sockets(tree: Tree, order: Sequence[int], online: frozenset[int]) -> dict[int, int]:
    """Packages are the sets that package_cpus tells, each called by its physical_package_id where that is its own."""
    by_id = _spelling(tree, order, ["physical_package_id"])
    by_members = _spelling(tree, order, PACKAGE)
    if by_members is None and _socket_unknown(tree, order):
        return dict.fromkeys(order, 0)
    if by_members is None:
        return {cpu: tree.number(_topology(cpu, "physical_package_id")) for cpu in order}
    lowest: dict[int, int] = {}
    number: dict[int, int] = {}
    for cpu in order:
        if cpu in lowest:
            continue
        path = _topology(cpu, by_members)
        for member in sorted(_members(tree, path, cpu, online)):
            if lowest.setdefault(member, cpu) != cpu:
                raise tree.problem(path, f"it names cpu {member}, which the package of cpu {lowest[member]} has too")
        number[cpu] = -1 if by_id is None else tree.number(_topology(cpu, by_id))
    if min(number.values()) < 0 or len(set(number.values())) < len(number):
        return lowest
    return {cpu: number[first] for cpu, first in lowest.items()}


def _socket_unknown(tree: Tree, order: Sequence[int]) -> bool:
    """Whether no file lists a package's cpus, and ids of packages are missing or -1, "not given"."""
    if _spelling(tree, order, PACKAGE) is not None:
        return False
    by_id = _spelling(tree, order, ["physical_package_id"])
    return by_id is None or any(tree.number(_topology(cpu, by_id)) < 0 for cpu in order)


def _cores(
    tree: Tree, order: Sequence[int], online: frozenset[int], around: Sequence[dict[int, int]], compute_units: bool
) -> dict[int, int]:
    """Each cpu to its core.

    Args:
        tree: where to read.
        order: ids of the online cpus, ascending.
        online: the same.
        around: each cpu's socket, die and node, none of which a core crosses; core_id repeats in each.
        compute_units: as for `read_cpus`.
    """
    name, socket = _spelling(tree, order, SIBLINGS), around[0]
    if name is None and _spelling(tree, order, ["core_id"]) is None:
        return {cpu: cpu for cpu in order}
    if name is None:
        core_id = {cpu: tree.number(_topology(cpu, "core_id")) for cpu in order}
        place = {cpu: tuple(group.get(cpu) for group in around) for cpu in order}
        return _lowest(order, lambda cpu: cpu if core_id[cpu] in NO_ID else (place[cpu], core_id[cpu]))
    core: dict[int, int] = {}
    for cpu in order:
        if cpu in core:
            continue
        path = _topology(cpu, name)
        members = _members(tree, path, cpu, online)
        for member in sorted(members):
            if member in core:
                raise tree.problem(path, f"it names cpu {member}, which core {core[member]} claims too")
            if socket[member] != socket[cpu]:
                raise tree.problem(path, f"it names cpu {member} of another socket")
            core[member] = cpu
    if compute_units and _spelling(tree, order, ["core_id"]) is not None:
        core_id = {cpu: tree.number(_topology(cpu, "core_id")) for cpu in order}
        return _lowest(order, lambda cpu: (core[cpu], core_id[cpu]))
    return core


def _lowest(order: Sequence[int], key: Callable[[int], object]) -> dict[int, int]:
    """Each cpu to the lowest cpu that has the same key."""
    first: dict[object, int] = {}
    return {cpu: first.setdefault(key(cpu), cpu) for cpu in order}


def _groups(
    tree: Tree,
    order: Sequence[int],
    online: frozenset[int],
    id_name: str,
    names: Iterable[str],
    socket: dict[int, int],
) -> dict[int, int]:
    """Each cpu to the lowest cpu of its die or cluster; cpus of which the kernel tells none are left out."""
    if _spelling(tree, order, [id_name]) is None:
        return {}
    name = _spelling(tree, order, names)
    group: dict[int, int] = {}
    by_id: dict[tuple[int, int], int] = {}
    for cpu in order:
        if cpu in group:
            continue
        number = tree.number(_topology(cpu, id_name))
        if number in NO_ID:
            continue
        if name is None:
            group[cpu] = by_id.setdefault((socket[cpu], number), cpu)
            continue
        for member in _members(tree, _topology(cpu, name), cpu, online):
            group.setdefault(member, cpu)
    return group


def _caches(tree: Tree, order: Sequence[int], online: frozenset[int]) -> dict[int, dict[int, int]]:
    """Level (2, 3) to each cpu's domain, the lowest cpu id that shares the cache."""
    domain: dict[int, dict[int, int]] = {2: {}, 3: {}}
    name = None
    for cpu in order:
        if cpu in domain[2] and cpu in domain[3]:
            continue
        base = f"{CPU}/cpu{cpu}/cache"
        for index in sorted(tree.names(base) or ()):
            if not index.startswith("index"):
                continue
            level = tree.number(f"{base}/{index}/level")
            if level not in domain or cpu in domain[level]:
                continue
            kind = tree.text(f"{base}/{index}/type")
            if kind not in CACHE_TYPES:
                raise tree.problem(f"{base}/{index}/type", f"it holds {shortened(kind)}, which is no type of cache")
            if kind == "Instruction":
                continue
            if name is None:
                name = next((n for n in SHARED if tree.tells(f"{base}/{index}/{n}")), SHARED[0])
            members = tree.ids(f"{base}/{index}/{name}")
            if members and cpu not in members:
                raise tree.problem(f"{base}/{index}/{name}", f"it does not name cpu {cpu} itself")
            for member in (members & online) or (cpu,):  # a mask of zeros (old Itanium kernels): its own
                domain[level].setdefault(member, cpu)
    return domain


CAPACITY_MARGIN = (1078, 1024)
"""A cpu is of a larger kind where its capacity is more than 5 % larger (capacity_greater, kernel/sched/fair.c)."""


EFFICIENT_PMUS = ("cpu_atom", "cpu_lowpower")


def read_kinds(tree: Tree, order: Sequence[int], online: frozenset[int]) -> dict[int, Kind]:
    """Kinds by Intel's hybrid PMUs, or by cpu_capacity; never by a clock rate, which turbo and binning change."""
    fast = tree.optional_ids("sys/devices/cpu_core/cpus")
    slow = [ids for pmu in EFFICIENT_PMUS if (ids := tree.optional_ids(f"sys/devices/{pmu}/cpus")) is not None]
    if fast is not None or slow:
        efficient = frozenset().union(*slow) & online
        performant = (fast or frozenset()) & online
        stray = online - efficient - performant
        if stray:
            missing = "cpu_core" if fast is None else EFFICIENT_PMUS[0]
            raise tree.problem(f"sys/devices/{missing}/cpus", f"neither it nor its counterpart names cpu {min(stray)}")
        if not efficient or not performant:
            return {}
        return {cpu: "efficiency" if cpu in efficient else "performance" for cpu in order}
    if not any(tree.has(f"{CPU}/cpu{cpu}/cpu_capacity") for cpu in (order[0], order[-1])):
        return {}
    capacity = {cpu: tree.number(f"{CPU}/cpu{cpu}/cpu_capacity") for cpu in order}
    larger, smaller = CAPACITY_MARGIN
    bar = max(capacity.values()) * smaller
    if all(bar <= value * larger for value in capacity.values()):
        return {}
    return {cpu: "efficiency" if bar > value * larger else "performance" for cpu, value in capacity.items()}
