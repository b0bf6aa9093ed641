"""Hypothesis strategies for machines: uneven, offline, memoryless, memory-only, sparse, hybrid, restricted, with CCX.

Every machine is one that a kernel could report: what a kernel guarantees (siblings share a socket, each online cpu is
in a node where there are nodes) holds, and nothing else is assumed.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from ipexlaunch.machine.topology import Accelerator, Cpu, Limit, Node, Topology

X86 = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_int8", "amx_bf16")
ARM = ("asimd", "asimddp", "sve", "bf16", "i8mm")
FLAGS = st.sets(st.sampled_from(X86)) | st.sets(st.sampled_from(ARM)).map(lambda flags: flags | {"asimd"})
PAGE_SIZES = (2 << 20, 1 << 30)


@st.composite
def topologies(
    draw: st.DrawFn, *, largest_sockets: int = 4, largest_cores: int = 6, restricted: bool = True
) -> Topology:
    """Machines of up to `largest_sockets` x 4 nodes x `largest_cores` cores x 4 threads.

    Args:
        draw: given by Hypothesis.
        largest_sockets: most sockets.
        largest_cores: most cores per node.
        restricted: whether affinity, cpusets and quotas may narrow what is allowed.
    """
    blocks = draw(_blocks(largest_sockets, largest_cores))
    threads = draw(st.sampled_from([1, 1, 2, 2, 4]))
    places = [(socket, node, index) for index, (socket, node) in enumerate(blocks)]  # one per core
    numbers = _numbering(draw(st.sampled_from(["halves", "adjacent", "shuffled"])), len(places), threads, draw)
    stride = draw(st.sampled_from([1, 1, 1, 2, 8]))
    numbers = [[cpu * stride for cpu in row] for row in numbers]
    everyone = [cpu for row in numbers for cpu in row]
    offline = draw(st.sets(st.sampled_from(everyone), max_size=len(everyone) // 2)) if draw(st.booleans()) else set()
    online = [[cpu for cpu in row if cpu not in offline] for row in numbers]
    if not any(online):
        offline, online = set(), numbers
    cpus = _cpus(draw, places, online, hybrid=draw(st.sampled_from([False, False, True])))
    nodes, cpus = draw(_nodes(cpus))
    present = frozenset(everyone)
    topology = Topology(
        cpus=cpus,
        nodes=nodes,
        allowed_cpus=frozenset(cpu.id for cpu in cpus),
        allowed_nodes=frozenset(node.id for node in nodes if node.memory_bytes),
        isa=frozenset(draw(FLAGS)),
        source="made",
        cpu_model=draw(st.sampled_from([None, "Intel(R) Xeon(R) Platinum 8480+", "Neoverse: V2"])),
        present_cpus=present,
        possible_cpus=present | draw(st.sampled_from([frozenset(), frozenset(range(max(present) + 4))])),
        offline_cpus=frozenset(offline),
        isolated_cpus=frozenset(draw(st.sets(st.sampled_from(everyone), max_size=3))),
        smt=draw(st.sampled_from([None, "on", "off", "forceoff", "notsupported"])),
        accelerators=draw(_accelerators([node.id for node in nodes])),
    )
    return draw(_restricted(topology)) if restricted else topology


@st.composite
def _blocks(draw: st.DrawFn, largest_sockets: int, largest_cores: int) -> list[tuple[int, int]]:
    """(socket, node) of each core; nodes are numbered through, of equal or unequal size."""
    sockets = draw(st.integers(1, largest_sockets))
    cores = []
    node = 0
    even = draw(st.booleans())
    size, per_socket = draw(st.integers(1, largest_cores)), draw(st.integers(1, 4))
    shared_node = draw(st.sampled_from([False, False, False, True]))  # virtual machines: many sockets, one node
    for socket in range(sockets):
        for _ in range(per_socket if even else draw(st.integers(1, 3))):
            cores += [(socket, 0 if shared_node else node)] * (size if even else draw(st.integers(1, largest_cores)))
            node += 1
    return cores


def _numbering(style: str, cores: int, threads: int, draw: st.DrawFn) -> list[list[int]]:
    """Cpu ids of each core: all first siblings first, siblings beside each other, or anyhow."""
    if style == "adjacent":
        return [list(range(core * threads, (core + 1) * threads)) for core in range(cores)]
    ids = list(range(cores * threads))
    if style == "shuffled":
        ids = draw(st.permutations(ids))
    return [[ids[core + thread * cores] for thread in range(threads)] for core in range(cores)]


def _cpus(
    draw: st.DrawFn, places: list[tuple[int, int, int]], online: list[list[int]], hybrid: bool
) -> tuple[Cpu, ...]:
    """The online cpus, with node numbers of the blocks; caches, dies and clusters are runs of cores."""
    socket_scale = draw(st.sampled_from([1, 1, 36]))
    l2_cores, cluster_cores = draw(st.sampled_from([None, 1, 2])), draw(st.sampled_from([None, 2, 4]))
    l3_cores, die_nodes = draw(st.sampled_from([None, 1, 2, 4, 1000])), draw(st.sampled_from([None, 1, 2]))
    rows: list[tuple[int, dict[str, object]]] = []
    for (socket, node, index), cpus in zip(places, online, strict=True):
        keys: dict[str, object] = {
            "core": index,
            "socket": socket,
            "node": node,
            "l2": None if l2_cores is None else (socket, node, index // l2_cores),
            "l3": None if l3_cores is None else (socket, index // l3_cores),
            "die": None if die_nodes is None else (socket, node // die_nodes),
            "cluster": None if cluster_cores is None else (socket, index // cluster_cores),
            "kind": index % 3 == 2,
        }
        rows += [(cpu, dict(keys)) for cpu in cpus]
    rows.sort(key=lambda row: row[0])
    lowest: dict[object, int] = {}
    for cpu, keys in rows:
        for name in ("core", "l2", "l3", "die", "cluster"):
            if keys[name] is not None:
                keys[name] = lowest.setdefault((name, keys[name]), cpu)
    if len({keys["kind"] for _, keys in rows}) < 2:
        hybrid = False
    return tuple(
        Cpu(
            id=cpu,
            core=_whole(keys["core"]),
            socket=_whole(keys["socket"]) * socket_scale,
            node=_whole(keys["node"]),
            l2=_maybe(keys["l2"]),
            l3=_maybe(keys["l3"]),
            die=_maybe(keys["die"]),
            cluster=_maybe(keys["cluster"]),
            kind=("efficiency" if keys["kind"] else "performance") if hybrid else None,
        )
        for cpu, keys in rows
    )


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value


def _maybe(value: object) -> int | None:
    return None if value is None else _whole(value)


@st.composite
def _nodes(draw: st.DrawFn, cpus: tuple[Cpu, ...]) -> tuple[tuple[Node, ...], tuple[Cpu, ...]]:
    """Nodes for the cpus (or none at all), and the cpus with their final node ids."""
    if draw(st.sampled_from([False] * 7 + [True])):
        return (), tuple(replace(cpu, node=None) for cpu in cpus)
    used = sorted({cpu.node for cpu in cpus if cpu.node is not None})
    extra = draw(st.sampled_from([0, 0, 0, 1, 2]))  # memory-only
    count = len(used) + extra
    gaps = draw(st.lists(st.integers(0, 5), min_size=count, max_size=count)) if draw(st.booleans()) else [0] * count
    ids = [position + sum(gaps[: position + 1]) for position in range(count)]
    order = draw(st.permutations(ids)) if draw(st.booleans()) else ids
    final = dict(zip(used, order, strict=False))
    memory = {number: draw(st.sampled_from([1 << 30, 64 << 30, 96 << 30])) for number in ids}
    if draw(st.sampled_from([False, False, True])):  # memoryless
        for number in draw(st.sets(st.sampled_from(ids), max_size=count - 1)):
            memory[number] = 0
    far = draw(st.lists(st.integers(10, 254), min_size=count * count, max_size=count * count))
    told = draw(st.sampled_from([True, True, True, False]))
    huge = draw(st.sampled_from([{}, dict.fromkeys(PAGE_SIZES, 0), {PAGE_SIZES[0]: 512}]))
    hmat = draw(st.sampled_from([False, False, True]))
    nodes = tuple(
        Node(
            id=number,
            memory_bytes=memory[number],
            distances={
                other: 10 if other == number else far[min(row, column) * count + max(row, column)]
                for column, other in enumerate(ids)
            }
            if told
            else {},
            huge_pages=huge,
            initiators=frozenset({ids[0], number}) if hmat else frozenset(),
            read_bandwidth_mb_s=100_000 + number if hmat else None,
            read_latency_ns=90 if hmat else None,
        )
        for row, number in enumerate(ids)
    )
    return nodes, tuple(replace(cpu, node=final[_whole(cpu.node)]) for cpu in cpus)


@st.composite
def _accelerators(draw: st.DrawFn, nodes: list[int]) -> tuple[Accelerator, ...]:
    vendors = draw(st.lists(st.sampled_from(["intel", "nvidia", "amd", "0x1da3"]), max_size=2))
    return tuple(
        Accelerator(
            address=f"0000:{0x3A + index:02x}:00.0",
            vendor=vendor,
            device="0x0bd5",
            node=draw(st.sampled_from([None, *nodes])),
        )
        for index, vendor in enumerate(vendors)
    )


@st.composite
def _restricted(draw: st.DrawFn, topology: Topology) -> Topology:
    """The machine as a process sees it that is pinned, in a cpuset, or under a quota."""
    cpus, nodes = topology.allowed_cpus, topology.allowed_nodes
    limits: list[Limit] = []
    unified = draw(st.booleans())
    folder = "sys/fs/cgroup" if unified else "sys/fs/cgroup/cpuset"
    group = draw(st.sampled_from(["", "/job", "/kubepods/pod1"]))
    if draw(st.booleans()):
        chosen = frozenset(draw(st.sets(st.sampled_from(sorted(cpus)), min_size=1)))
        mems = frozenset(draw(st.sets(st.sampled_from(sorted(nodes)), min_size=1))) if nodes else None
        limits.append(Limit(kind="affinity", file="proc/self/status", cpus=chosen, nodes=mems))
        cpus, nodes = cpus & chosen, nodes if mems is None else nodes & mems
    if draw(st.booleans()):
        more = frozenset(draw(st.sets(st.sampled_from(sorted(topology.present_cpus)))))  # names offline cpus too
        chosen = more | frozenset(draw(st.sets(st.sampled_from(sorted(cpus)), min_size=1)))
        mems = frozenset(draw(st.sets(st.sampled_from(sorted(nodes)), min_size=1))) if nodes else None
        name = "cpuset.cpus.effective" if unified else "cpuset.cpus"
        limits.append(Limit(kind="cpuset", file=f"{folder}{group}/{name}", cpus=chosen, nodes=mems))
        cpus, nodes = cpus & chosen, nodes if mems is None else nodes & mems
    quota = draw(st.sampled_from([None, None, 0.5, 3.5, 16.0]))
    if quota is not None:
        file = f"sys/fs/cgroup{group}/cpu.max" if unified else f"sys/fs/cgroup/cpu{group}/cpu.cfs_quota_us"
        limits.append(Limit(kind="quota", file=file, quota=quota))
    return replace(topology, allowed_cpus=cpus, allowed_nodes=nodes, cpu_quota=quota, limits=tuple(limits))
