"""A look at a worker as a row of a run's events, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ipexlaunch.launch.placement.placement import Affinity, Crowd, Placement
from ipexlaunch.machine.cpulist import format_list, parse_list

LISTS = ("cpus", "main_thread_cpus", "last_cpus")
SIZES = ("huge_pages", "shared_pages", "file_pages")
PLAIN = (
    "threads", "pinned_threads", "peak_memory_bytes", "transparent_huge_bytes", "unclear", "page_looks", "processes",
    "daemons", "migrations", "looks", "crowded_looks",
)  # fmt: skip


def placement_row(placement: Placement) -> dict[str, Any]:
    """Everything that the look saw; `placement_of` gives the same value back."""
    return {
        **{name: format_list(getattr(placement, name)) for name in LISTS},
        **{name: getattr(placement, name) for name in PLAIN},
        "pages": None if placement.pages is None else _by_node(placement.pages),
        **{name: _by_node(getattr(placement, name)) for name in SIZES},
        "by_policy": {policy: _by_node(sizes) for policy, sizes in placement.by_policy.items()},
        "affinities": [[format_list(a.cpus), a.threads, a.example] for a in placement.affinities],
        "openmp": sorted(placement.openmp),
        "openmp_clashes": sorted(map(list, placement.openmp_clashes)),
        "crowd": None if placement.crowd is None else _crowd_row(placement.crowd),
    }


def placement_of(row: Mapping[str, Any]) -> Placement:
    """The look that a row holds.

    Args:
        row: as `placement_row` made it.

    Raises:
        TypeError, ValueError, KeyError: it is no such row.
        RequestError: a list of cpus is malformed.
    """
    rest = dict(row)
    values: dict[str, Any] = {name: parse_list(rest.pop(name)) for name in LISTS}
    values |= {name: _sizes(rest.pop(name)) for name in SIZES}
    pages, crowd = rest.pop("pages"), rest.pop("crowd")
    return Placement(
        **values,
        pages=None if pages is None else _sizes(pages),
        by_policy={policy: _sizes(sizes) for policy, sizes in rest.pop("by_policy").items()},
        affinities=tuple(Affinity(parse_list(cpus), threads, name) for cpus, threads, name in rest.pop("affinities")),
        openmp=frozenset(rest.pop("openmp")),
        openmp_clashes=frozenset(map(tuple, rest.pop("openmp_clashes"))),
        crowd=None if crowd is None else _crowd_of(*crowd),
        **rest,
    )


def _crowd_row(crowd: Crowd) -> list[object]:
    return [format_list(crowd.cpus), crowd.threads, list(crowd.owners), crowd.processes]


def _crowd_of(cpus: str, threads: int, owners: Sequence[str] = (), processes: int = 1) -> Crowd:
    """A crowd; rows of former versions do not tell whose the threads are."""
    return Crowd(parse_list(cpus), threads, tuple(owners), processes)


def _by_node(sizes: Mapping[int, int]) -> dict[str, int]:
    return {str(node): size for node, size in sizes.items()}


def _sizes(by_node: Mapping[str, int]) -> dict[int, int]:
    return {int(node): size for node, size in by_node.items()}
