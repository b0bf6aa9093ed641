"""Which settings of OpenMP squeeze the main thread onto one cpu, where its children (DataLoader workers) inherit it.

Sources: OpenMP API specification 5.2, chapter 21; libgomp's manual (OMP_PROC_BIND is true where OMP_PLACES or
GOMP_CPU_AFFINITY is set); Intel's documentation of KMP_AFFINITY and its reset modifier; seen with both runtimes.
"""

from __future__ import annotations

from collections.abc import Mapping

PINNING = ("KMP_AFFINITY", "GOMP_CPU_AFFINITY", "OMP_PROC_BIND", "OMP_PLACES")
"""Variables that can."""

KMP_TYPES = {"compact", "scatter", "balanced", "explicit", "logical", "physical"}
"""Words of KMP_AFFINITY that pin; the others (verbose, respect, none, disabled ...) do not."""


def collapsing(variables: Mapping[str, str]) -> list[str]:
    """Those of the variables that do, given all of them: some make others harmless."""
    return [name for name in PINNING if name in variables and _collapses(name, variables)]


def _collapses(name: str, variables: Mapping[str, str]) -> bool:
    """Seen with libgomp 12 and libiomp5 2026.2: whether the main thread's affinity shrinks (docs/doctor.md)."""
    value = variables[name].lower().replace(" ", "")
    places = variables.get("OMP_PLACES", "").lower().replace(" ", "")
    unbound = variables.get("OMP_PROC_BIND", "").lower().split(",")[0].strip() == "false"
    if name == "KMP_AFFINITY":
        words = set(value.split(","))
        return bool(words & KMP_TYPES) and ("reset" not in words or names_cpus(name, value))
    if name == "OMP_PROC_BIND":
        return not unbound and not _wide(places)
    if name == "OMP_PLACES":
        return "OMP_PROC_BIND" not in variables and not _wide(places)
    return not unbound


def _wide(places: str) -> bool:
    """A single place, or places as wide as a node: the team is held together, but no thread is pinned inside."""
    import re  # few environments have these variables

    return re.fullmatch(r"\{[^{}]*\}|(sockets|numa_domains)(\(\d+\))?", places) is not None


def names_cpus(name: str, value: str) -> bool:
    """Whether the value names cpus by number, so that every worker would pin its threads to the same ones."""
    import re

    if name == "KMP_AFFINITY":
        return "proclist" in value.lower()
    return name in ("GOMP_CPU_AFFINITY", "OMP_PLACES") and re.search(r"\d", value.partition("(")[0]) is not None
