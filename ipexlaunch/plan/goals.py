"""Goals: cores per instance from published practice and the shape of the caches. A guess that `tune` would measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ipexlaunch.plan.domains import Domain, domains_of
from ipexlaunch.plan.request import Goal

SMALLEST, LARGEST = 4, 8
"""Cores per instance of MLPerf Offline on CPU: BERT and RetinaNet 4, Whisper 6, Llama-3.1-8B 7 or 8 (v4.1, v5.1)."""


@dataclass(frozen=True, slots=True)
class GoalSize:
    """How large instances should be, and which rule said so."""

    cores: int
    rule: str


def goal_size(domains: Sequence[Domain], goal: Goal) -> GoalSize:
    """Cores per instance for a goal.

    throughput: the size from 4 to 8 that leaves fewest cores idle, the larger one on a tie; within L3 domains where
    they are smaller than nodes. latency: a whole node, so that one request has all of a node's bandwidth.

    Source: MLPerf Inference v4.1 and v5.1, Intel's CPU submissions. Llama-3.1-8B: 7 cores per instance on nodes of 43
    and 8 on nodes of 32 (Offline), 42 and 32 (Server). Whisper searches the size that leaves fewest cores idle, per
    L3 domain where there are more of them than nodes.
    """
    cores = sorted((core for domain in domains for core in domain.cores), key=lambda core: core.id)
    nodes = domains_of(cores, "node")
    if goal == "latency":
        size = min(len(node.cores) for node in nodes)
        return GoalSize(
            size, f"latency: a whole node, {size} cores (MLPerf v5.1 Llama-3.1-8B Server: one instance per node)"
        )
    caches = domains_of(cores, "l3")
    per_cache = len(caches) > len(nodes)
    sizes = [len(domain.cores) for domain in (caches if per_cache else nodes)]
    where = "L3 domain" if per_cache else "node"
    step = 1
    if per_cache and max(sizes) < SMALLEST:  # caches of one to three cores: nodes count, in whole caches
        step = sizes[0] if len(set(sizes)) == 1 else 1
        sizes, where = [len(node.cores) for node in nodes], f"node in whole L3 domains of {max(sizes)}"
    largest = max(sizes)
    if largest < SMALLEST:
        return GoalSize(largest, f"throughput: a whole node, {largest} cores, as it has fewer than {SMALLEST}")
    candidates = [size for size in range(SMALLEST, min(LARGEST, largest) + 1) if size % step == 0]
    candidates = candidates or [largest]
    best = max(candidates, key=lambda size: (sum(cores // size for cores in sizes) * size, size))
    used = sum(cores // best for cores in sizes) * best
    rule = f"throughput: {best} cores, the size from {SMALLEST} to {LARGEST} that leaves fewest cores idle per {where}"
    return GoalSize(best, f"{rule} ({used} of {sum(sizes)} used; MLPerf v5.1 Offline: Llama-3.1-8B 7 or 8, Whisper 6)")
