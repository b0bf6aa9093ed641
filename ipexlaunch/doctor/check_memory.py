"""What becomes of a worker's memory: huge pages, balancing, reclaim, swap, policies, and where files are cached.

Sources: Documentation/admin-guide/mm/transhuge.rst, hugetlbpage.rst, sysctl/kernel.rst (numa_balancing) and
sysctl/vm.rst (zone_reclaim_mode, swappiness) of the Linux kernel; set_mempolicy(2); moby/profiles/seccomp
(set_mempolicy needs CAP_SYS_NICE in Docker's default profile).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import CachedFile, Facts, require
from ipexlaunch.doctor.host_files_read import Unavailable, Undecidable
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.wording import counted, in_gib

THP = "/sys/kernel/mm/transparent_hugepage/enabled"
DEFRAG = "/sys/kernel/mm/transparent_hugepage/defrag"
BALANCING = "/proc/sys/kernel/numa_balancing"
RECLAIM = "/proc/sys/vm/zone_reclaim_mode"
SWAPS = "/proc/swaps"
SWAPPINESS = "/proc/sys/vm/swappiness"
MEMORY = "/proc/meminfo"
STATUS = "/proc/self/status"

PATHS = (THP, DEFRAG, BALANCING, RECLAIM, SWAPS, SWAPPINESS, MEMORY, STATUS)

EAGER_SWAPPINESS = 10
"""Above it the kernel may swap out weights that were not read for a while to keep file cache instead."""

LARGE_SHARE = 0.05
"""Of the host's memory: more than this in reserved and unused huge pages is worth a warning."""

SMALL_SHARED_MEMORY_BYTES = 512 << 20
"""Docker's default is 64 MiB; a batch handed over by a DataLoader's worker process takes tens of MiB."""


SECCOMP_MODES = {"0": "no filter", "1": "strict", "2": "a filter"}
"""/proc/PID/status: proc(5)."""

LOPSIDED_SHARE = 0.6
"""Of the cached pages: more than this on one of two nodes means that the workers of the other read remotely."""


def check_huge_pages_on_demand(facts: Facts) -> Finding:
    """Whether a worker may get transparent huge pages."""
    reading = facts.files.read(THP)
    choice = reading.require_choice()
    if choice == "always":
        return finding("ok", "Every worker gets transparent huge pages where it can", reading.evidence)
    if choice == "madvise":
        message = "Transparent huge pages are there for workers that ask for them"
        remedy = (
            "--env GLIBC_TUNABLES=glibc.malloc.hugetlb=1 (glibc 2.35 or later) lets all ask that is not torch's, e.g. "
            "OpenVINO's weights; --env THP_MEM_ALLOC_ENABLE=1 torch's own; measure both ways"
        )
        return finding("ok", message, reading.evidence, remedy=remedy)
    return finding(
        "warning",
        "No worker can get transparent huge pages: large weights cost many TLB misses",
        reading.evidence,
        remedy="give them to workers that ask",
        command=f"echo madvise | sudo tee {THP}",
    )


def check_huge_page_defrag(facts: Facts) -> Finding:
    """Whether a page fault may stall to make a huge page."""
    reading = facts.files.read(DEFRAG)
    if reading.require_choice() != "always":
        return finding("ok", "Workers that do not ask for huge pages never wait for one", reading.evidence)
    return finding(
        "note",
        "Every page fault may stall while the kernel compacts memory for a huge page",
        reading.evidence,
        remedy="let only those wait that ask",
        command=f"echo madvise | sudo tee {DEFRAG}",
    )


def check_numa_balancing(facts: Facts) -> Finding:
    """Whether the kernel samples and moves the pages of workers that are already placed."""
    reading = facts.files.read(BALANCING)
    if len(facts.machine.nodes) < 2:
        return finding("ok", "One node: there is nothing to balance", _nodes(facts))
    mode = reading.require_number()
    if mode == 0:
        return finding("ok", "The kernel leaves pages where they were placed", reading.evidence)
    if mode == 2:  # NUMA_BALANCING_MEMORY_TIERING (include/linux/sched/sysctl.h)
        message = "The kernel moves pages between memory tiers (mode 2); pages under a bind policy stay"
        return finding("note", message, reading.evidence)
    return finding(
        "warning",
        "NUMA balancing unmaps pages of pinned workers again and again to see who uses them",
        reading.evidence,
        remedy="switch it off; placement is ours",
        command="sudo sysctl -w kernel.numa_balancing=0",
    )


def check_zone_reclaim(facts: Facts) -> Finding:
    """Whether a full node throws its file cache away before memory of other nodes is used."""
    reading = facts.files.read(RECLAIM)
    if len(facts.machine.nodes) < 2:
        return finding("ok", "One node: there is nothing to reclaim for", _nodes(facts))
    if reading.require_number() == 0:
        return finding("ok", "A full node does not throw its file cache away", reading.evidence)
    return finding(
        "warning",
        "A node that fills up reclaims its own pages first: loading a model stalls and drops cached files",
        reading.evidence,
        remedy="switch it off",
        command="sudo sysctl -w vm.zone_reclaim_mode=0",
    )


def check_swap(facts: Facts) -> Finding:
    """Whether memory has been, or may be, swapped out."""
    swaps, swappiness = facts.files.read(SWAPS), facts.files.read(SWAPPINESS)
    head, *rows = [line.split() for line in swaps.require_text().splitlines()] or [[]]
    if head[:1] != ["Filename"]:
        raise Undecidable("it is not a table of swap areas", swaps.evidence)
    if not rows:
        return finding("ok", "There is no swap", Evidence(SWAPS, "no areas"))
    if any(len(row) < 5 or not row[-3].isdigit() or not row[-2].isdigit() for row in rows):
        raise Undecidable("it is not a table of swap areas", swaps.evidence)
    size = sum(int(row[-3]) for row in rows) * 1024
    used = sum(int(row[-2]) for row in rows) * 1024
    seen = Evidence(SWAPS, f"{in_gib(used)} used of {in_gib(size)} in {counted(len(rows), 'area')}")
    if used > size // 100:
        return finding(
            "warning",
            f"{in_gib(used)} is swapped out: pages come back from disk when they are touched",
            seen,
            swappiness.evidence,
            remedy="stop what uses the memory, then empty the swap" + " on the host" * swaps.overmounted,
            command="" if swaps.overmounted else "sudo swapoff -a && sudo swapon -a",
        )
    if swappiness.require_number() > EAGER_SWAPPINESS:
        return finding(
            "note",
            "Swap is there and the kernel may use it for idle weights while memory is still free",
            seen,
            swappiness.evidence,
            remedy="make it the last resort",
            command="sudo sysctl -w vm.swappiness=1",
        )
    return finding("ok", "Swap is there as a last resort", seen, swappiness.evidence)


def check_reserved_huge_pages(facts: Facts) -> Finding:
    """Whether memory is locked away in huge pages that no worker will use."""
    reading = facts.files.read(MEMORY)
    total = reading.require_count_of("MemTotal", " kB") * 1024
    if reading.overmounted:  # then it is the container's limit, and the pages are the host's
        total = sum(node.memory_bytes for node in facts.machine.nodes) or total
    size = reading.require_count_of("Hugepagesize", " kB") * 1024
    pages, free = reading.require_count_of("HugePages_Total"), reading.require_count_of("HugePages_Free")
    seen = Evidence(MEMORY, f"HugePages_Total: {pages}, HugePages_Free: {free}, Hugepagesize: {size // 1024} kB")
    if pages == 0:
        return finding("ok", "No memory is reserved as huge pages", seen)
    if free == 0:
        return finding("note", f"All {in_gib(pages * size)} reserved as huge pages are in use", seen)
    message = f"{in_gib(free * size)} of {in_gib(total)} is reserved as huge pages that nobody uses"
    if free * size > LARGE_SHARE * total:
        remedy = "torch and its allocators do not use reserved huge pages; give them back"
        return finding("warning", message, seen, remedy=remedy, command="sudo sysctl -w vm.nr_hugepages=0")
    return finding("note", message, seen)


def check_shared_memory(facts: Facts) -> Finding:
    """Whether /dev/shm is large enough for the batches that worker processes hand over."""
    space = require(facts.shared_memory)
    seen = Evidence(space.path, f"{in_gib(space.free_bytes)} free of {in_gib(space.total_bytes)}")
    if space.free_bytes >= SMALL_SHARED_MEMORY_BYTES:
        return finding("ok", "/dev/shm has room for batches that processes share", seen)
    return finding(
        "warning",
        f"/dev/shm has {in_gib(space.free_bytes)} left: data loaders with worker processes can end in bus errors",
        seen,
        remedy="make it larger (in Docker: --shm-size=8g; in Kubernetes: an emptyDir with medium Memory)",
        command="sudo mount -o remount,size=50% /dev/shm",
    )


def _nodes(facts: Facts) -> Evidence:
    return Evidence("/sys/devices/system/node", f"{len(facts.machine.nodes)} with cpus or memory")


def check_memory_policy_allowed(facts: Facts) -> Finding:
    """Whether the kernel lets us bind memory to nodes."""
    policy = require(facts.memory_policy)
    seccomp = facts.files.read(STATUS).require_field("Seccomp")
    seen = Evidence(STATUS, f"Seccomp: {seccomp} ({SECCOMP_MODES.get(seccomp, 'unknown mode')})")
    if not policy.refusal:
        return finding("ok", "Memory can be bound to nodes", Evidence("set_mempolicy(2)", policy.trial), seen)
    return finding(
        "problem",
        "Memory policy is refused: workers are pinned to cpus, but their pages only follow by first touch",
        Evidence("set_mempolicy(2)", policy.refusal),
        seen,
        remedy="give the container CAP_SYS_NICE (in Kubernetes: securityContext.capabilities.add: [SYS_NICE])",
        command="docker run --cap-add SYS_NICE ...",
    )


def check_inherited_memory_policy(facts: Facts) -> Finding:
    """Whether a memory policy was handed down, as numactl and Slurm's --mem-bind do."""
    policy = require(facts.memory_policy)
    if not policy.policy:
        raise Undecidable(policy.refusal, Evidence("get_mempolicy(2)", policy.refusal))
    seen = Evidence(policy.source, policy.policy)
    if policy.policy in ("default", "local"):
        return finding("ok", "No memory policy is inherited", seen)
    return finding(
        "warning",
        f"The memory policy {policy.policy} is inherited: whatever is not placed by a plan lands there",
        seen,
        remedy="start ipexlaunch without numactl -m or srun --mem-bind; each worker's own policy replaces it",
        command="numactl --localalloc ipexlaunch ...",
    )


def check_page_cache(facts: Facts) -> Sequence[Finding]:
    """Whether the cached pages of the model's files are spread over the nodes of the workers.

    Pages of a file lie on the node of whoever read them first, and a memory policy moves none of them: a worker that
    maps the file reads remote memory (llama.cpp #13335, #13731; Documentation/admin-guide/mm/numa_memory_policy.rst).
    """
    machine = facts.machine
    files = [model for model in facts.models if not isinstance(model, Unavailable)]
    unread = [_unread(model) for model in facts.models if isinstance(model, Unavailable)]
    if not facts.models:
        message, command = "No model was named, so the page cache was not asked", "ipexlaunch doctor --model PATH"
        return [finding("note", message, remedy="name its files or folder", command=command)]
    return [*unread, _of_files(machine, files)] if files else unread


def _of_files(machine: Topology, files: Sequence[CachedFile]) -> Finding:
    by_node: dict[int, int] = {}
    for file in files:
        weight = _cached_share(file) * file.size_bytes / max(1, sum(file.pages_by_node.values()))
        for node, pages in file.pages_by_node.items():
            by_node[node] = by_node.get(node, 0) + round(pages * weight)
    seen = [_evidence(file) for file in files]
    if not any(file.cached_pages for file in files):
        size = in_gib(sum(file.size_bytes for file in files))
        message = f"Nothing of {size} is cached: the first worker to read a page decides its node"
        return finding("note", message, *seen)
    total = sum(by_node.values())
    if not total:
        return finding("unknown", "The kernel tells no node for the cached pages", *seen)
    workers_nodes = machine.nodes_of(machine.allowed_cpus)
    fullest = max(by_node, key=by_node.__getitem__)
    share = by_node[fullest] / total
    spread = ", ".join(f"node {node}: {pages / total:.0%}" for node, pages in sorted(by_node.items()))
    if len(workers_nodes) < 2 and set(by_node) <= (workers_nodes or set(by_node)):
        return finding("ok", "Cached pages of the model are local to every worker", *seen)
    foreign = set(by_node) - workers_nodes
    if not foreign and share <= max(LOPSIDED_SHARE, 1.5 / len(workers_nodes)):
        return finding("ok", f"Cached pages of the model are spread over the nodes ({spread})", *seen)
    commands = [f"dd if={shlex.quote(file.path)} iflag=nocache count=0 status=none" for file in files[:4]]
    return finding(
        "warning",
        f"{share:.0%} of the cached pages lie on node {fullest}: workers on node "
        f"{format_list(workers_nodes - {fullest})} that map the files read remote memory",
        *seen,
        remedy="drop them, then let each worker read or copy the files itself (on tmpfs: write them again)",
        command="; ".join([*commands, *["..."] * (len(files) > 4)]),
    )


def _unread(model: Unavailable) -> Finding:
    message = f"Cannot tell where {model.where} is cached"
    return finding("unknown", message, Evidence(model.where, model.problem))


def _cached_share(file: CachedFile) -> float:
    """Of the whole file, estimated from the pages asked."""
    return file.cached_pages / file.asked_pages if file.asked_pages else 0.0


def _evidence(file: CachedFile) -> Evidence:
    nodes = ", ".join(f"N{node}={pages}" for node, pages in sorted(file.pages_by_node.items())) or "no pages to ask"
    asked = f"{file.cached_pages} of {file.asked_pages} pages asked are cached ({_cached_share(file):.0%})"
    return Evidence(file.path, f"{in_gib(file.size_bytes)}; {asked}; numa_maps: {nodes}")
