"""What the looks at a worker prove: that it kept to its slice, or the reasons why the run is INVALID.

Definitions and limits: docs/binding.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ipexlaunch.doctor.pinning_libraries import blame
from ipexlaunch.doctor.thread_pools import cure_of
from ipexlaunch.documents.fields import LATER
from ipexlaunch.errors.beside_limit import beside_limit
from ipexlaunch.launch.placement.placement import Binding, Oversubscription, Placement, Resident
from ipexlaunch.machine.cpulist import Ids, format_list
from ipexlaunch.plan.plan import Instance

LOCAL_SHARE_REQUIRED = 0.95
"""A worker with a smaller share of its anonymous pages on its nodes makes the run INVALID."""

BINDING_POLICIES = ("bind", "preferred", "preferred-many", "interleave", "weighted-interleave")
"""Policies that promise where pages go, so that the share of local pages can be judged."""

SMALLEST_JUDGED_BYTES = 4 << 20
"""Below this much anonymous memory a share says nothing (an idle interpreter has a few MB)."""

MIB = 1 << 20

KERNEL_WORDS = {
    "bind": "bind",
    "preferred": "prefer",
    "preferred-many": "prefer (many)",
    "interleave": "interleave",
    "weighted-interleave": "weighted interleave",
}
"""Policy names to the words of numa_maps (policy_modes in mm/mempolicy.c)."""


def misplacements_at_worst(
    instance: Instance,
    placements: Sequence[Placement],
    binding: Binding,
    local_share_required: float = LOCAL_SHARE_REQUIRED,
) -> list[str]:
    """Every way in which a worker is not where the plan says, each as a reason for INVALID, told once, as the look has
    it where it was worst; empty where it is.

    Args:
        instance: the plan.
        placements: what was read back, in the order of time.
        binding: what the kernel accepted at the start; memory that was refused is not judged again here.
        local_share_required: 0 to 1.
    """
    if not placements:
        return []
    shares = [(share, i) for i, p in enumerate(placements) if (share := p.local_share(instance.nodes)) is not None]
    found = [
        _affinity_outside(instance, max(placements, key=lambda p: len(p.cpus - instance.cpus))),
        _ran_outside(instance, max(placements, key=lambda p: len(p.last_cpus - instance.cpus - p.cpus))),
        *(_remote(instance, placements[i], binding, local_share_required) for _, i in sorted(shares)),
    ]
    return [reason for reason in (*found[:2], next(filter(None, found[2:]), "")) if reason]


def _affinity_outside(instance: Instance, placement: Placement) -> str:
    strayed = placement.cpus - instance.cpus
    if not strayed or not instance.cpus:
        return ""
    groups = [group for group in placement.affinities if group.cpus - instance.cpus]
    # One whose library is known tells more than the others.
    group = min(groups, key=lambda group: not group.library, default=None)
    why = blame(group.library) if group is not None else ""
    return (
        f"instance {instance.index} may run on cpus {format_list(strayed)}, outside its plan "
        f"({format_list(instance.cpus)}){f' ({group.example})' if group is not None else ''}{why and f': {why}'}"
    )


def _ran_outside(instance: Instance, placement: Placement) -> str:
    been = placement.last_cpus - instance.cpus - placement.cpus
    if not been or not instance.cpus:
        return ""
    return (
        f"instance {instance.index} ran on cpus {format_list(been)}, outside its plan ({format_list(instance.cpus)}), "
        "though it may not any more"
    )


def _remote(instance: Instance, placement: Placement, binding: Binding, required: float) -> str:
    share = placement.local_share(instance.nodes)
    promised = binding.memory in BINDING_POLICIES and not binding.refused
    if not promised or share is None or not _enough_to_judge(placement) or share >= required:
        return ""
    has, wanted = beside_limit(share * 100, required * 100, 1), f"{required * 100:g}"
    return (
        f"instance {instance.index} has {has}% of its anonymous memory on node {format_list(instance.nodes)} "
        f"(at least {wanted}% wanted){_why_remote(instance, placement, binding)}"
    )


def _enough_to_judge(placement: Placement) -> bool:
    return sum((placement.pages or {}).values()) >= SMALLEST_JUDGED_BYTES


def _why_remote(instance: Instance, placement: Placement, binding: Binding) -> str:
    """The likely cause, from the policy of the mappings that hold the most remote memory; empty where not known."""
    remote = {
        policy: sum(size for node, size in sizes.items() if node not in instance.nodes)
        for policy, sizes in placement.by_policy.items()
    }
    policy = max(remote, key=lambda name: remote[name], default="")
    if not remote.get(policy):
        return ""
    name, _, nodes = policy.partition(":")
    words = KERNEL_WORDS.get(binding.memory, "")
    where = f": {remote[policy] / MIB:.0f} MiB elsewhere has the policy {policy}"
    if name in ("default", "local"):
        return f"{where}; the program or a child has given up the binding, and its pages lie where they were touched"
    if name.partition("=")[0] != words:
        return f"{where}, which the program or a child has set itself (mbind, set_mempolicy, libnuma)"
    if nodes != format_list(binding.nodes):
        return f"{where} where {words}:{format_list(binding.nodes)} was set; the program or its cpuset has changed it"
    if binding.memory.startswith("preferred"):
        return f"{where}, which lets pages go elsewhere when the node has none free"
    return (
        f"{where}; they were moved later (NUMA balancing, migratepages) or come from a process that is bound elsewhere"
    )


def affinity_collapsed(instance: Instance, placement: Placement) -> bool:
    """Whether the main thread was squeezed onto fewer cpus than the instance has, so that its children share them.

    OpenMP runtimes do this when they are told to bind threads (GOMP_CPU_AFFINITY, OMP_PROC_BIND, KMP_AFFINITY
    without "reset"), OpenVINO unless ENABLE_CPU_PINNING is False; DataLoader workers and subprocesses inherit one cpu.
    """
    return len(placement.main_thread_cpus) == 1 < len(instance.cpus)


def doubts(instance: Instance, placements: Sequence[Placement]) -> list[str]:
    """What costs speed or weakens the proof though the worker is in its place, each as a warning."""
    found: list[str] = []
    if any(affinity_collapsed(instance, placement) for placement in placements):
        found.append(
            f"instance {instance.index}: its main thread is held to one cpu by its OpenMP settings or OpenVINO, "
            "and its children inherit that"
        )
    crowds = [placement.crowd for placement in placements if placement.crowd is not None]
    if crowds:
        worst = max(crowds, key=lambda crowd: crowd.threads / len(crowd.cpus))
        looks = sum(placement.looks for placement in placements)
        crowded = sum(placement.crowded_looks for placement in placements)
        found.append(
            f"instance {instance.index}: {worst.threads} busy threads shared {_cpus(len(worst.cpus))} "
            f"({format_list(worst.cpus)}) in {crowded} of {looks} looks; {_fewer(worst)}"
        )
    for files in sorted(set().union(*(placement.openmp_clashes for placement in placements))):
        found.append(
            f"instance {instance.index}: {len(files)} OpenMP runtimes in one process have threads of their own: "
            f"{' and '.join(files)}"
        )
    unclear = max((placement.unclear for placement in placements), default=0)
    if unclear:
        found.append(
            f"instance {instance.index}: {unclear} texts of the kernel could not be read or understood, "
            "so the proof of its placement has gaps"
        )
    return found


def _fewer(crowd: Oversubscription) -> str:
    """Whose the threads are and what gives them fewer, from the table of thread_pools."""
    threads = len(crowd.cpus)
    if not crowd.owners:
        return "fewer threads would do more (OMP_NUM_THREADS, or what the program has for that)"
    several = f" of {crowd.processes} processes" if crowd.processes > 1 else ""
    cures = [f"{name}: {cure}" if (cure := cure_of(name, threads)) else name for name in crowd.owners]
    unknown = "" if all(cure_of(name, threads) for name in crowd.owners) else "; see its own options"
    return f"they are those{several} of {'; and of '.join(cures)}{unknown}"


def _cpus(count: int) -> str:
    return f"{count} cpu{'s' * (count != 1)}"


def downsampled(placements: Iterable[Placement], instance: Instance) -> list[Placement]:
    """The looks that matter of a long series: the first, the last, and the worst of each kind; at most ten.

    One that is left out is counted in the next that is kept, so that `looks`, `crowded_looks` and `page_looks` of all
    that are kept add up to those of the whole series; reasons and warnings come out the same.

    Args:
        placements: in the order of time; may have been thinned before.
        instance: the plan that they are judged by.
    """
    every = list(placements)
    kept = {0, len(every) - 1}
    traits: tuple[Callable[[Placement], int], ...] = (
        lambda p: len(p.cpus - instance.cpus),
        lambda p: len(p.last_cpus - instance.cpus - p.cpus),
        lambda p: affinity_collapsed(instance, p),
        lambda p: p.unclear,
    )
    for trait in traits:
        most = max((trait(p) for p in every), default=0)
        kept |= set([i for i, p in enumerate(every) if most and trait(p) == most][:1])
    for clash in set().union(*(p.openmp_clashes for p in every)):
        kept.add(next(i for i, p in enumerate(every) if clash in p.openmp_clashes))
    shares = [(share, i) for i, p in enumerate(every) if (share := p.local_share(instance.nodes)) is not None]
    judged = [(share, i) for share, i in shares if _enough_to_judge(every[i])]
    crowds = [(p.crowd.threads / len(p.crowd.cpus), -i) for i, p in enumerate(every) if p.crowd is not None]
    kept |= {min(found)[1] for found in (shares, judged) if found}
    kept |= {-max(crowds)[1]} if crowds else set()
    thin: list[Placement] = []
    looks = crowded = page_looks = 0
    for i, placement in enumerate(every):
        looks, crowded = looks + placement.looks, crowded + placement.crowded_looks
        page_looks += placement.page_looks
        if i in kept:
            thin.append(replace(placement, looks=looks, crowded_looks=crowded, page_looks=page_looks))
            looks = crowded = page_looks = 0
    return thin


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """All looks at one worker, its children and its daemons together, as the report shows them."""

    looks: int
    """How often the threads were looked at."""
    page_looks: int
    """In how many of these the pages were read as well."""
    cpus: Ids
    """Cpus that some thread was allowed at some look."""
    last_cpus: Ids
    """Cpus that some thread was seen on."""
    main_thread_cpus: Ids
    """Of the main thread, at the last look, as are all fields below."""
    processes: int
    daemons: int
    """How many of the processes had left the worker's tree."""
    threads: int
    pinned_threads: int
    anonymous_bytes: Mapping[int, int] | None
    """By node, huge pages included; None where the kernel does not tell."""
    huge_bytes: Mapping[int, int]
    """The part of them in huge pages (hugetlb)."""
    transparent_huge_bytes: int | None
    """The part of them in transparent huge pages; None where not known."""
    shared_bytes: Mapping[int, int]
    file_bytes: Mapping[int, int]
    resident: Resident | None = field(default=None, metadata=LATER)
    """What of it is shared with other processes; None where not known."""
    openmp: tuple[str, ...]
    """Files of the OpenMP runtimes that were mapped at any look."""
    migrations: int | None
    """How often the living threads had changed their cpu; None where the kernel does not tell."""
    crowded_looks: int
    """How many looks found more busy threads than cpus."""


def proof_of(placements: Sequence[Placement]) -> Proof | None:
    """What all looks show together; None where nobody looked."""
    if not placements:
        return None
    last = placements[-1]
    huge = [p.transparent_huge_bytes for p in placements if p.transparent_huge_bytes is not None]
    moves = [p.migrations for p in placements if p.migrations is not None]
    return Proof(
        looks=sum(p.looks for p in placements),
        page_looks=sum(p.page_looks for p in placements),
        cpus=frozenset().union(*(p.cpus for p in placements)),
        last_cpus=frozenset().union(*(p.last_cpus for p in placements)),
        main_thread_cpus=last.main_thread_cpus,
        processes=last.processes,
        daemons=last.daemons,
        threads=last.threads,
        pinned_threads=last.pinned_threads,
        anonymous_bytes=last.pages,
        huge_bytes=last.huge_pages,
        transparent_huge_bytes=huge[-1] if huge else None,
        shared_bytes=last.shared_pages,
        file_bytes=last.file_pages,
        resident=last.resident,
        openmp=tuple(sorted(frozenset().union(*(p.openmp for p in placements)))),
        migrations=moves[-1] if moves else None,
        crowded_looks=sum(p.crowded_looks for p in placements),
    )
