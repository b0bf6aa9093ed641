"""How many shards: enough that hosts end together and lose little to one that is lost, each long enough to pay."""

from __future__ import annotations

from dataclasses import dataclass

from ipexlaunch.machine.wording import counted

SHARDS_PER_HOST = 4
"""A host that is lost gives back a quarter of its work at most, and those that are faster take more."""

DEFAULT_HOSTS = 4
"""Where nobody says how many work on it."""

SHARD_COSTS_S = 1.5
"""What a shard costs a host beside loading: start, end, workers that wait for the last.

Measured: docs/several-hosts.md.
"""

LARGEST_OVERHEAD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardCount:
    """How many shards, and why."""

    shards: int
    why: tuple[str, ...]
    """Lines that say what was assumed."""


def shortest_shard_s(load_s: float) -> float:
    """How long a host should work on a shard, so that what it costs beside is LARGEST_OVERHEAD of that.

    Args:
        load_s: seconds until workers are ready.
    """
    return (SHARD_COSTS_S + load_s) / LARGEST_OVERHEAD


def count_shards(hosts: int, load_s: float | None, rate: float | None, items: int) -> ShardCount:
    """How many shards a job should have.

    Args:
        hosts: that work on it.
        load_s: seconds until workers are ready; None where that is not known.
        rate: items per second of one host; None where that is not known.
        items: of the input.
    """
    wanted = SHARDS_PER_HOST * hosts
    shortest = shortest_shard_s(load_s or 0.0)
    loading = (
        "nobody said how long loading takes (--load-time): 0 s" if load_s is None else f"loading takes {load_s:g} s"
    )
    needs = f"under {LARGEST_OVERHEAD:.0%} of overhead a shard takes a host {shortest:.0f} s or more ({loading})"
    if rate is None:
        why = (f"{counted(wanted, 'shard')}: {SHARDS_PER_HOST} for each of {counted(hosts, 'host')}", needs)
        return ShardCount(shards=wanted, why=(*why, "with --rate, a host's items per second, that is looked at"))
    most = max(1, int(items / rate / shortest))
    chosen = min(wanted, max(most, min(hosts, items or 1)))
    each = items / rate / chosen
    said = f"{counted(chosen, 'shard')} for {counted(hosts, 'host')}, {each:.0f} s each at {rate:g} items/s"
    if chosen > most:
        needs = f"{needs}: this job is too short for {counted(hosts, 'host')} without more"
    return ShardCount(shards=chosen, why=(said, needs))


def divided(sizes: list[int], shards: int) -> list[int]:
    """How many shards each file gets, one at least; in proportion to their sizes.

    Args:
        sizes: of the files, in bytes.
        shards: of all together, about.
    """
    whole = sum(sizes)
    return [max(1, round(shards * size / whole)) if whole else 1 for size in sizes]
