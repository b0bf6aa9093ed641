"""The options that say how to split the machine, for `plan` and `run`, and the Request that they make.

Every option of `ipexrun cpu` and of `torch.backends.xeon.run_cpu` that concerns placement is here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from ipexlaunch.cli.options.option_types import COUNT_FROM_0, SIZE, WHOLE_NUMBER
from ipexlaunch.errors import RequestError
from ipexlaunch.plan.cpuset_syntax import check_syntax
from ipexlaunch.plan.request import DEVICES, GOALS, MEMORY_POLICIES, MEMORY_TIERS, SCOPES, STRATEGIES, Request

Function = TypeVar("Function", bound=Callable[..., Any])

NOT_ASKED = -1
"""run_cpu's spelling of "not asked" for numbers that count from 0 or 1."""


def _core_count(_context: click.Context, _option: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == "auto":
        return value
    if re.fullmatch(r"[+-]?[0-9]{1,9}", value.strip()) is None:
        raise click.BadParameter(f"{value!r} is not a number of cores, 0 (equal share), -1 (every core) or auto")
    return int(value)


_OPTIONS = (
    click.option("--ninstances", type=WHOLE_NUMBER, metavar="N", help="Instances, exactly  [default: one per node]."),
    click.option(
        "--ncores-per-instance",
        "--ncore-per-instance",
        callback=_core_count,
        metavar="N|0|-1|auto",
        help="Physical cores of each; 0: equal share, -1: every core (unequal), auto: by rule  [default: 0].",
    ),
    click.option(
        "--cores-list",
        "--core-list",
        metavar="LIST",
        help='Cpus to use: "0-3,8", "0-31:2", "!5", "+0-3", "all"; or one list for each instance: "0-31|32-63".',
    ),
    click.option("--nodes-list", "--node-list", metavar="LIST", help='Nodes whose cpus to use, e.g. "0,2-3".'),
    click.option("--node-id", type=WHOLE_NUMBER, metavar="N", hidden=True),
    click.option(
        "--use-logical-cores",
        "--use-logical-core",
        is_flag=True,
        help="All SMT siblings of each core, not only the first.",
    ),
    click.option("--use-e-cores", is_flag=True, help="The efficiency cores of a hybrid machine too."),
    click.option(
        "--goal", type=click.Choice(GOALS), help="Pick the cores per instance by published practice (a guess)."
    ),
    click.option("--latency-mode", is_flag=True, help="Instances of 4 physical cores, as many as fit."),
    click.option("--throughput-mode", is_flag=True, help="One instance per node."),
    click.option(
        "--strategy",
        type=click.Choice(STRATEGIES),
        help="Where instances go when cores are left: spread over the nodes, or the first nodes  [default: scatter].",
    ),
    click.option(
        "--scope",
        type=click.Choice(SCOPES),
        help="What no instance crosses while there are as many instances  [default: node].",
    ),
    click.option("--bind-numa-node", is_flag=True, help="Keep instances inside nodes (that is the default)."),
    click.option("--skip-cross-node-cores", is_flag=True, help="The same."),
    click.option("--greedy", is_flag=True, help="Use every core; instances may be unequal."),
    click.option(
        "--group", "groups", multiple=True, metavar="NxC[@nodeK]", help='Unlike instances: "2x16@node0" (repeatable).'
    ),
    click.option(
        "--reserve-cores", type=COUNT_FROM_0, default=0, metavar="N", help="Cores per node left to the system."
    ),
    click.option(
        "--memory-per-instance",
        type=SIZE,
        metavar="SIZE",
        help='Cap the instances of each node by its memory, e.g. "24GiB".',
    ),
    click.option(
        "--memory",
        type=click.Choice(MEMORY_TIERS),
        help="High-bandwidth nodes, ordinary ones, or all near ones  [default: the instance's own nodes].",
    ),
    click.option(
        "--memory-policy", type=click.Choice(MEMORY_POLICIES), help="How memory keeps to its nodes  [default: bind]."
    ),
    click.option(
        "--device",
        type=click.Choice(["cpu", *DEVICES]),
        help="Plan by accelerator: equally many instances for each, on cores of its node  [default: cpu].",
    ),
    click.option(
        "--accelerators", metavar="LIST", help="With --device: which of them, counted by PCI address, e.g. 0,2-3."
    ),
    click.option(
        "--instance-idx", "--rank", metavar="LIST", help="Start only these instances of the plan; -1 starts all."
    ),
)


REQUEST_OPTIONS = (
    "ninstances",
    "ncores_per_instance",
    "cores_list",
    "nodes_list",
    "node_id",
    "use_logical_cores",
    "use_e_cores",
    "goal",
    "latency_mode",
    "throughput_mode",
    "strategy",
    "scope",
    "bind_numa_node",
    "skip_cross_node_cores",
    "greedy",
    "groups",
    "reserve_cores",
    "memory_per_instance",
    "memory",
    "memory_policy",
    "device",
    "accelerators",
    "instance_idx",
)
"""The keyword arguments that `plan_options` adds to a command."""


def plan_options(function: Function) -> Function:
    """Add the options that say how to split the machine; `request_from_options` reads them.

    The command must take `token_normalize_func` so that hyphens and underscores mean the same.
    """
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def request_from_options(options: Mapping[str, Any]) -> Request:
    """The Request that the options ask for.

    Args:
        options: the command's keyword arguments; those that concern something else are ignored.

    Raises:
        RequestError: malformed values, or options that exclude each other.
    """
    nodes_list = options["nodes_list"]
    if options["node_id"] not in (None, NOT_ASKED):
        if nodes_list is not None:
            raise RequestError("use --nodes-list together with --node-id", "both name nodes", "leave out one of them")
        nodes_list = str(options["node_id"])
    request = Request(
        ninstances=options["ninstances"],
        ncores_per_instance=options["ncores_per_instance"],
        cores_list=options["cores_list"],
        nodes_list=nodes_list,
        use_logical_cores=options["use_logical_cores"],
        use_e_cores=options["use_e_cores"],
        strategy=options["strategy"],
        scope=options["scope"],
        bind_numa_node=options["bind_numa_node"] or options["skip_cross_node_cores"],
        instance_idx=options["instance_idx"],
        latency_mode=options["latency_mode"],
        throughput_mode=options["throughput_mode"],
        goal=options["goal"],
        reserve_cores=options["reserve_cores"],
        memory_per_instance_bytes=options["memory_per_instance"],
        greedy=options["greedy"],
        groups=tuple(options["groups"]),
        memory=options["memory"],
        memory_policy=options["memory_policy"],
        device=None if options["device"] == "cpu" else options["device"],
        accelerators=options["accelerators"],
    )
    lists = (request.cores_list, "--cores-list"), (request.nodes_list, "--nodes-list")
    for text, option in (*lists, (request.accelerators, "--accelerators")):
        if text is not None:
            check_syntax(text, option)
    request.check()
    return request
