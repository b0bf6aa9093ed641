"""What the kernel does with memory behind a worker's back: huge pages, balancing, reclaim, swap.

Sources: Documentation/admin-guide/mm/transhuge.rst, hugetlbpage.rst, sysctl/kernel.rst (numa_balancing) and
sysctl/vm.rst (zone_reclaim_mode, swappiness) of the Linux kernel.
"""

from __future__ import annotations

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import Facts, need
from ipexlaunch.doctor.host_files_read import CannotTell, Reading
from ipexlaunch.doctor.quantity import in_gib

THP = "/sys/kernel/mm/transparent_hugepage/enabled"
DEFRAG = "/sys/kernel/mm/transparent_hugepage/defrag"
BALANCING = "/proc/sys/kernel/numa_balancing"
RECLAIM = "/proc/sys/vm/zone_reclaim_mode"
SWAPS = "/proc/swaps"
SWAPPINESS = "/proc/sys/vm/swappiness"
MEMORY = "/proc/meminfo"

PATHS = (THP, DEFRAG, BALANCING, RECLAIM, SWAPS, SWAPPINESS, MEMORY)

EAGER_SWAPPINESS = 10
"""Above it the kernel may swap out weights that were not read for a while to keep file cache instead."""

LARGE_SHARE = 0.05
"""Of the host's memory: more than this in reserved and unused huge pages is worth a warning."""

SMALL_SHARED_MEMORY_BYTES = 512 << 20
"""Docker's default is 64 MiB; a batch handed over by a DataLoader's worker process takes tens of MiB."""


def check_huge_pages_on_demand(facts: Facts) -> Finding:
    """Whether a worker may get transparent huge pages."""
    reading = facts.files.read(THP)
    choice = reading.need_choice()
    if choice == "always":
        return finding("ok", "Every worker gets transparent huge pages where it can", reading.evidence)
    if choice == "madvise":
        message = "Transparent huge pages are there for workers that ask for them"
        remedy = "torch asks if THP_MEM_ALLOC_ENABLE=1 is set; measure both, the gain goes both ways"
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
    if reading.need_choice() != "always":
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
    mode = reading.need_number()
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
    if reading.need_number() == 0:
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
    head, *rows = [line.split() for line in swaps.need_text().splitlines()] or [[]]
    if head[:1] != ["Filename"]:
        raise CannotTell("it is not a table of swap areas", swaps.evidence)
    if not rows:
        return finding("ok", "There is no swap", Evidence(SWAPS, "no areas"))
    if any(len(row) < 5 or not row[-3].isdigit() or not row[-2].isdigit() for row in rows):
        raise CannotTell("it is not a table of swap areas", swaps.evidence)
    size = sum(int(row[-3]) for row in rows) * 1024
    used = sum(int(row[-2]) for row in rows) * 1024
    seen = Evidence(
        SWAPS, f"{in_gib(used)} used of {in_gib(size)} in {len(rows)} {'area' if len(rows) == 1 else 'areas'}"
    )
    if used > size // 100:
        return finding(
            "warning",
            f"{in_gib(used)} is swapped out: pages come back from disk when they are touched",
            seen,
            swappiness.evidence,
            remedy="stop what uses the memory, then empty the swap" + " on the host" * swaps.stand_in,
            command="" if swaps.stand_in else "sudo swapoff -a && sudo swapon -a",
        )
    if swappiness.need_number() > EAGER_SWAPPINESS:
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
    total = _kilobytes(reading, "MemTotal")
    if reading.stand_in:  # then it is the container's limit, and the pages are the host's
        total = sum(node.memory_bytes for node in facts.machine.nodes) or total
    size = _kilobytes(reading, "Hugepagesize")
    pages, free = _count(reading, "HugePages_Total"), _count(reading, "HugePages_Free")
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
    space = need(facts.shared_memory)
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


def _kilobytes(reading: Reading, name: str) -> int:
    """A line such as "MemTotal: 1024 kB", in bytes."""
    return _count(reading, name, " kB") * 1024


def _count(reading: Reading, name: str, unit: str = "") -> int:
    text = reading.need_field(name)
    number = text.removesuffix(unit)
    if not number.isdecimal():
        raise CannotTell(f"{name} is no number", Evidence(reading.path, f"{name}: {text}"))
    return int(number)
