"""Cores per instance that public throughput records use, by what the instances run: rules with their sources.

Read in November 2026. A record is one of its own hosts and programs: a size from here is a guess that `tune` measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Workload = Literal["embed", "speech", "generate"]
"""embed: encoders, vectors or classes of texts; speech: audio to text; generate: language models."""

WORKLOADS: tuple[Workload, ...] = get_args(Workload)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSize:
    """What a record did."""

    cores: int | None = None
    """Of an instance; None for a whole node."""
    left: int = 0
    """Cores of each node that a whole one leaves to the system."""
    source: str


PUBLISHED: Mapping[Workload, PublishedSize] = {
    "embed": PublishedSize(
        cores=1,
        source="MLPerf v6.1, Intel, E2E-RAG: its study of cores has 148 embedders of one core, weights shared",
    ),
    "speech": PublishedSize(
        cores=6, source="MLPerf v6.1, Intel, Whisper-large-v3: 6 cores an instance, 8 on parts of 120 cores"
    ),
    "generate": PublishedSize(
        left=2, source="MLPerf v6.1, Intel, Llama-3.1-8B: one server per node, 2 cores of each node left"
    ),
}


def published_cores(workload: Workload, node_cores: int, reserved: int) -> int:
    """Cores of an instance on nodes of so many.

    Args:
        workload: what it runs.
        node_cores: of the smallest node, without those that are reserved.
        reserved: cores of each node that are left to the system already.
    """
    rule = PUBLISHED[workload]
    if rule.cores is not None:
        return min(rule.cores, node_cores)
    whole = node_cores - max(0, rule.left - reserved)
    return whole if 2 * whole > node_cores else node_cores  # of a small node two would fit, or none
