"""What is asked of the planner (Request) and what it answers (Instance, Plan).

A plan is a document that can be read, edited, stored and replayed. A request knows what contradicts itself.

What `{index}`, `{cpus}` ... stand for in a program's arguments and variables, for runs and for exports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from ipexlaunch.documents.fields import OMITTED, Bounds, NonNegativeInt, OneOf, PositiveInt, TextOrInt
from ipexlaunch.errors import RequestError
from ipexlaunch.machine.cpulist import Ids, format_list, parse_list
from ipexlaunch.plan.published_sizes import Workload

Strategy = Literal["scatter", "close"]


Scope = Literal["l3", "node", "socket", "machine"]


Goal = Literal["throughput", "latency"]


Device = Literal["xpu", "cuda"]


MemoryTier = Literal["hbm", "dram", "all"]


MemoryPolicy = Literal["bind", "preferred", "preferred-many", "interleave", "weighted-interleave", "local", "none"]


STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


SCOPES: tuple[Scope, ...] = get_args(Scope)


GOALS: tuple[Goal, ...] = get_args(Goal)


DEVICES: tuple[Device, ...] = get_args(Device)


MEMORY_TIERS: tuple[MemoryTier, ...] = get_args(MemoryTier)


MEMORY_POLICIES: tuple[MemoryPolicy, ...] = get_args(MemoryPolicy)


EQUAL_SHARE = 0
"""`--ncores-per-instance 0`: the equal share, what is left stays idle (ipexrun's meaning, the same as not asking)."""


ALL_CORES = -1
"""`--ncores-per-instance -1`: every core, so that instances differ by one core (ipexrun's meaning)."""


LATENCY_MODE_CORES = 4
"""Cores per instance of --latency-mode, as ipexrun documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for; None (or False, or nothing) means not asked.

    Lists stay text, because "+0-3", "!5" and "all" mean something only on a machine (`plan.notation` reads them).
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
    workload: Workload | None = None
    """What the instances run, for --goal throughput; None where that is not known."""
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
        return self.greedy or self.ncores_per_instance == ALL_CORES or bool(self.groups) or self.lists_instances

    @property
    def lists_instances(self) -> bool:
        """Whether the cpus of each instance are listed."""
        return self.cores_list is not None and "|" in self.cores_list

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
        what = "--ninstances counts from 1"
        raise RequestError(f"plan {n} instances", what, "leave it out for one instance per node")
    if isinstance(c, int) and c < ALL_CORES:
        what = "--ncores-per-instance is a number of cores, 0 (equal share), -1 (every core) or auto"
        raise RequestError(f"give {c} cores to each instance", what, "leave it out for all cores, shared equally")
    if request.reserve_cores < 0:
        raise RequestError(
            f"reserve {request.reserve_cores} cores", "--reserve-cores counts from 0", "leave it out to reserve none"
        )
    if request.memory_per_instance_bytes is not None and request.memory_per_instance_bytes < 1:
        raise RequestError("plan the memory", "--memory-per-instance is a size above 0", 'write e.g. "24GiB"')


Asked = tuple[str, bool]
"""An option as it was written, and whether it was, with a meaning that matters."""


def _contradictions(request: Request) -> Iterator[tuple[str, str, str]]:
    """(option, option, why) of each pair that cannot stand together."""
    c, scope, policy = request.ncores_per_instance, request.scope, request.memory_policy
    latency, throughput = ("--latency-mode", request.latency_mode), ("--throughput-mode", request.throughput_mode)
    count, goal = (f"--ninstances {request.ninstances}", request.ninstances is not None), _given("--goal", request.goal)
    greedy, groups = ("--greedy", request.greedy), ("--group", bool(request.groups))
    lists, strategy = ("--cores-list with '|'", request.lists_instances), _given("--strategy", request.strategy)
    not_nodes = (f"--scope {scope}", scope not in (None, "node"))
    wide, device = (f"--scope {scope}", scope in ("socket", "machine")), _given("--device", request.device)
    without_nodes = (f"--memory-policy {policy}", policy in ("local", "none"))

    def size(asked: bool) -> Asked:
        return f"--ncores-per-instance {c}", asked

    fixed = isinstance(c, int) and c >= EQUAL_SHARE
    by_rule = size(c in (ALL_CORES, "auto"))
    few = f"it means instances of {LATENCY_MODE_CORES} physical cores, as many as fit"
    logical = ("--use-logical-cores", request.use_logical_cores)
    one_each = "it means one instance per node"
    all_sizes = "groups say how many instances there are and how large each is"
    none_left = "every core is used, so that none is left"
    dealt = "instances are dealt to the accelerators, equally large, inside nodes"
    rows: list[tuple[Asked, str, list[Asked]]] = [
        (latency, few, [throughput, count, size(c not in (None, LATENCY_MODE_CORES)), logical, goal, greedy, groups]),
        (throughput, one_each, [count, size(c not in (None, EQUAL_SHARE)), goal, greedy, groups]),
        (goal, "a goal picks the cores per instance itself", [size(fixed or c == ALL_CORES), greedy, groups]),
        (greedy, "greedy sizes differ by design", [size(fixed or c == "auto")]),
        (latency, "as many instances as fit leave no choice of places", [strategy]),
        (greedy, none_left, [strategy]),
        (size(c == ALL_CORES), none_left, [strategy]),
        (groups, "groups say where they are, or take the emptiest nodes", [strategy]),
        (groups, all_sizes, [count, size(c is not None), greedy, lists, not_nodes]),
        (
            lists,
            "it names the cpus of every instance",
            [
                *(goal, greedy, latency, throughput),
                ("--reserve-cores", request.reserve_cores > 0),
                ("--nodes-list", request.nodes_list is not None),
                *(strategy, _given("--scope", scope), by_rule),
            ],
        ),
        (("--bind-numa-node", request.bind_numa_node), "it keeps instances inside a node", [wide]),
        (_given("--memory", request.memory), f"the policy {policy} names no nodes", [without_nodes]),
        (device, dealt, [goal, greedy, groups, latency, throughput, lists, not_nodes, by_rule]),
    ]
    for (first, asked), why, others in rows:
        yield from ((first, second, why) for second, also in others if asked and also)


def _given(option: str, value: str | None) -> Asked:
    return f"{option} {value}", value is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One planned slice of the machine."""

    index: NonNegativeInt
    """0, 1, 2, ... in the order of the plan."""
    cpus: Ids
    """The cpus that its worker may run on."""
    nodes: Ids
    """The nodes that its memory comes from; empty where the machine has no node directories."""
    memory: Annotated[str, OneOf(*MEMORY_POLICIES)] = "bind"
    """Memory policy."""
    threads: PositiveInt
    """OMP_NUM_THREADS of its worker."""
    accelerator: Annotated[str, Bounds(pattern=r"^((xpu|cuda):[0-9]{1,4})?$")] = field(default="", metadata=OMITTED)
    """The accelerator that it drives, by torch's word and its number by PCI address ("xpu:0"); "" for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every instance, and what was left over."""

    topology: TextOrInt
    """Fingerprint of the machine that it was made for."""
    request: Request = field(default_factory=Request)
    instances: tuple[Instance, ...]
    idle_cpus: Ids = frozenset()
    """Allowed cpus that no instance uses."""

    @property
    def used_cpus(self) -> frozenset[int]:
        """The cpus of all instances."""
        return frozenset().union(*(instance.cpus for instance in self.instances))

    @property
    def chosen(self) -> tuple[Instance, ...]:
        """The instances to start: those that --instance-idx names, or all."""
        text = self.request.instance_idx
        if text is None or text.strip() == "-1":
            return self.instances
        wanted = parse_list(text, "--instance-idx")
        return tuple(instance for instance in self.instances if instance.index in wanted)


NAMES = ("index", "count", "cpus", "nodes", "threads", "port")

TEMPLATE = rf"(\{{?)\{{({'|'.join(NAMES)})\}}(\}}?)"
"""`{index}` in an argument; `{{index}}` stands for itself, and every other brace is left as it is."""

FIRST_PORT = 29500
"""Port of instance 0 where none is asked for: the default of torch's launchers."""


def values_of(instance: Instance, count: int, first_port: int) -> dict[str, str]:
    """What each name stands for.

    Args:
        instance: the worker's.
        count: of all instances.
        first_port: port of instance 0.
    """
    return {
        "index": str(instance.index),
        "count": str(count),
        "cpus": format_list(instance.cpus),
        "nodes": format_list(instance.nodes),
        "threads": str(instance.threads),
        "port": str(first_port + instance.index),
    }


def fill_template(text: str, values: Mapping[str, str]) -> str:
    """The text with `{index}`, `{cpus}` ... replaced, `{{index}}` turned into `{index}`, the rest byte for byte."""

    def replace(match: re.Match[str]) -> str:
        opening, name, closing = match.groups()
        if opening and closing:
            return "{" + name + "}"
        return opening + values[name] + closing

    return re.sub(TEMPLATE, replace, text) if "{" in text else text


def names_in(text: str) -> set[str]:
    """Which names stand in a text to be replaced."""
    return {match[2] for match in re.finditer(TEMPLATE, text) if not (match[1] and match[3])}
