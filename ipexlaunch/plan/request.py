"""Request: what the user asks of the planner, and which requests contradict themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ipexlaunch.documents.fields import Bounds, NonNegativeInt, PositiveInt, TextOrInt
from ipexlaunch.errors import RequestError

Strategy = Literal["scatter", "close"]
Scope = Literal["l3", "node", "socket", "machine"]
Goal = Literal["throughput", "latency"]
Device = Literal["xpu", "cuda"]
MemoryTier = Literal["hbm", "dram", "all"]
MemoryPolicy = Literal["bind", "preferred", "preferred-many", "interleave", "weighted-interleave", "local", "none"]

STRATEGIES: tuple[Strategy, ...] = ("scatter", "close")
SCOPES: tuple[Scope, ...] = ("l3", "node", "socket", "machine")
GOALS: tuple[Goal, ...] = ("throughput", "latency")
DEVICES: tuple[Device, ...] = ("xpu", "cuda")
MEMORY_TIERS: tuple[MemoryTier, ...] = ("hbm", "dram", "all")
MEMORY_POLICIES: tuple[MemoryPolicy, ...] = (
    "bind",
    "preferred",
    "preferred-many",
    "interleave",
    "weighted-interleave",
    "local",
    "none",
)

EQUAL_SHARE = 0
"""`--ncores-per-instance 0`: the equal share, what is left stays idle (ipexrun's meaning, the same as not asking)."""
ALL_CORES = -1
"""`--ncores-per-instance -1`: every core, so that instances differ by one core (ipexrun's meaning)."""
LATENCY_MODE_CORES = 4
"""Cores per instance of --latency-mode, as ipexrun documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for; None (or False, or nothing) means not asked.

    Lists stay text, because "+0-3", "!5" and "all" mean something only on a machine (`plan.lists` reads them).
    """

    ninstances: PositiveInt | None = None
    ncores_per_instance: Annotated[int, Bounds(ge=-1)] | Literal["auto"] | None = None
    """N cores (physical ones); 0 = equal share; -1 = every core (unequal); "auto" = by the rule of --goal."""
    cores_list: TextOrInt | None = None
    """Cpus to use ("0-3,8", "0-31:2", "!5", "+0-3", "all"), or one list for each instance ("0-31|32-63")."""
    nodes_list: TextOrInt | None = None
    """Nodes whose cpus to use."""
    use_logical_cores: bool = False
    """All siblings of each core, not only the first."""
    use_e_cores: bool = False
    """The efficiency cores of a hybrid machine too."""
    strategy: Strategy | None = None
    """Where instances go when cores are left: spread over the nodes (scatter, default), or the first nodes (close)."""
    scope: Scope | None = None
    """What an instance does not cross while there are at least as many instances as such domains (default: node)."""
    bind_numa_node: bool = False
    """ipexrun's --bind-numa-node and --skip-cross-node-cores: what happens anyway; contradicts a wider scope."""
    instance_idx: TextOrInt | None = None
    """Which instances of the plan to start; "-1" or None starts all."""
    latency_mode: bool = False
    throughput_mode: bool = False
    goal: Goal | None = None
    reserve_cores: NonNegativeInt = 0
    """Cores per node that are left to the system and the launcher."""
    memory_per_instance_bytes: PositiveInt | None = None
    """Caps the instances of each node by its memory."""
    greedy: bool = False
    """Use every core, so that instances may differ by one core or more."""
    groups: tuple[str, ...] = ()
    """Unlike instances: "2x16@node0" is two instances of 16 cores on node 0."""
    memory: MemoryTier | None = None
    """Which memory: the fast nodes, the ordinary ones, or all near ones; None = that of the instance's own nodes."""
    memory_policy: MemoryPolicy | None = None
    """None = bind."""
    device: Device | None = None
    """Plan by accelerator: one instance for each, or equally many, on cores of the node that it hangs on."""
    accelerators: TextOrInt | None = None
    """Which of them, counted by PCI address from 0."""

    @property
    def unequal(self) -> bool:
        """Whether instances of different sizes were asked for."""
        listed = self.cores_list is not None and "|" in self.cores_list
        return self.greedy or self.ncores_per_instance == ALL_CORES or bool(self.groups) or listed

    def check(self) -> None:
        """Refuse a request that contradicts itself.

        Raises:
            RequestError: two options that exclude each other, both named, or a number out of range.
        """
        _check_numbers(self)
        if self.accelerators is not None and self.device is None:
            raise RequestError("use --accelerators alone", "no kind is given", "add --device xpu or --device cuda")
        for first, second, why in _contradictions(self):
            raise RequestError(f"use {first} together with {second}", why, f"leave out {first} or {second}")


def _check_numbers(request: Request) -> None:
    n, c = request.ninstances, request.ncores_per_instance
    if n is not None and n < 1:
        raise RequestError(
            f"plan {n} instances", "--ninstances counts from 1", "leave it out for one instance per node"
        )
    if isinstance(c, int) and c < ALL_CORES:
        what = "--ncores-per-instance is a number of cores, 0 (equal share), -1 (every core) or auto"
        raise RequestError(f"give {c} cores to each instance", what)
    if request.reserve_cores < 0:
        raise RequestError(f"reserve {request.reserve_cores} cores", "--reserve-cores counts from 0")
    if request.memory_per_instance_bytes is not None and request.memory_per_instance_bytes < 1:
        raise RequestError("plan the memory", "--memory-per-instance is a size above 0", 'write e.g. "24GiB"')


def _contradictions(request: Request) -> list[tuple[str, str, str]]:
    """(option, option, why) of each pair that cannot stand together."""
    n, c = request.ninstances, request.ncores_per_instance
    fixed_cores = isinstance(c, int) and c > 0
    listed = request.cores_list is not None and "|" in request.cores_list
    size = f"--ncores-per-instance {c}"
    count = f"--ninstances {n}"
    found: list[tuple[bool, str, str, str]] = []

    def exclude(first: str, first_asked: bool, why: str, *others: tuple[str, bool]) -> None:
        found.extend((first_asked and asked, first, second, why) for second, asked in others)

    asks_count = (count, n is not None)
    asks_size = (size, c is not None)
    asks_goal = (f"--goal {request.goal}", request.goal is not None)
    asks_greedy = ("--greedy", request.greedy)
    asks_groups = ("--group", bool(request.groups))
    exclude(
        "--latency-mode",
        request.latency_mode,
        f"it means instances of {LATENCY_MODE_CORES} physical cores, as many as fit",
        ("--throughput-mode", request.throughput_mode),
        asks_count,
        (size, c is not None and c != LATENCY_MODE_CORES),
        ("--use-logical-cores", request.use_logical_cores),
        asks_goal,
        asks_greedy,
        asks_groups,
    )
    exclude(
        "--throughput-mode",
        request.throughput_mode,
        "it means one instance per node",
        asks_count,
        (size, c is not None and c != EQUAL_SHARE),
        asks_goal,
        asks_greedy,
        asks_groups,
    )
    exclude(
        asks_goal[0],
        asks_goal[1],
        "a goal picks the cores per instance itself",
        (size, fixed_cores or c in (EQUAL_SHARE, ALL_CORES)),
        asks_greedy,
        asks_groups,
    )
    exclude(
        "--greedy",
        request.greedy,
        "greedy sizes differ by design",
        (size, fixed_cores or c == EQUAL_SHARE or c == "auto"),
    )
    asks_strategy = (f"--strategy {request.strategy}", request.strategy is not None)
    for option, asked, why in (
        ("--latency-mode", request.latency_mode, "as many instances as fit leave no choice of places"),
        (*asks_greedy, "every core is used, so that none is left"),
        (size, c == ALL_CORES, "every core is used, so that none is left"),
        (*asks_groups, "groups say where they are, or take the emptiest nodes"),
    ):
        exclude(option, asked, why, asks_strategy)
    exclude(
        "--group",
        bool(request.groups),
        "groups say how many instances there are and how large each is",
        asks_count,
        asks_size,
        asks_greedy,
        ("--cores-list with '|'", listed),
        ("--scope " + str(request.scope), request.scope not in (None, "node")),
    )
    exclude(
        "--cores-list with '|'",
        listed,
        "it names the cpus of every instance",
        asks_goal,
        asks_greedy,
        ("--latency-mode", request.latency_mode),
        ("--throughput-mode", request.throughput_mode),
        ("--reserve-cores", request.reserve_cores > 0),
        ("--nodes-list", request.nodes_list is not None),
        (f"--strategy {request.strategy}", request.strategy is not None),
        (f"--scope {request.scope}", request.scope is not None),
        (size, c == ALL_CORES or c == "auto"),
    )
    exclude(
        "--bind-numa-node",
        request.bind_numa_node,
        "it keeps instances inside a node",
        (f"--scope {request.scope}", request.scope in ("socket", "machine")),
    )
    exclude(
        f"--memory {request.memory}",
        request.memory is not None,
        f"the policy {request.memory_policy} names no nodes",
        (f"--memory-policy {request.memory_policy}", request.memory_policy in ("local", "none")),
    )
    exclude(
        f"--device {request.device}",
        request.device is not None,
        "instances are dealt to the accelerators, equally large, inside nodes",
        asks_goal,
        asks_greedy,
        asks_groups,
        ("--latency-mode", request.latency_mode),
        ("--throughput-mode", request.throughput_mode),
        ("--cores-list with '|'", listed),
        (f"--scope {request.scope}", request.scope not in (None, "node")),
        (size, c == ALL_CORES or c == "auto"),
    )
    return [(first, second, why) for asked, first, second, why in found if asked]
