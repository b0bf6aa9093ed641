"""The options that say how to split the machine, the Request that they make, and the plan that a command works with.

Every option of `ipexrun cpu` and of `torch.backends.xeon.run_cpu` that concerns placement is here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import click

from ipexlaunch.cli.options import LaunchOptions, names_of
from ipexlaunch.cli.options.option_types import COUNT_FROM_0, SIZE, WHOLE_NUMBER, flag, valued
from ipexlaunch.doctor.job_engine import JobHost, job_host, troubles_of
from ipexlaunch.documents.read_text import read_text
from ipexlaunch.errors import DocumentError, PlanError, RequestError
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Plan, make_plan
from ipexlaunch.plan.notation import check_syntax
from ipexlaunch.plan.plan import DEVICES, GOALS, MEMORY_POLICIES, MEMORY_TIERS, SCOPES, STRATEGIES, Request
from ipexlaunch.plan.plan_file import read_checked_plan
from ipexlaunch.plan.planner import check_instance_idx
from ipexlaunch.plan.published_sizes import WORKLOADS

Options = TypeVar("Options")
Function = TypeVar("Function", bound=Callable[..., Any])

STANDARD_INPUT = "/dev/stdin"
"""What - stands for where a plan is read."""

NOT_ASKED = -1
"""run_cpu's spelling of "not asked" for numbers that count from 0 or 1."""


def _core_count(_context: click.Context, _option: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == "auto":
        return value
    if re.fullmatch(r"[+-]?[0-9]{1,9}", value.strip()) is None:
        raise click.BadParameter(f"{value!r} is not a number of cores, 0 (equal share), -1 (every core) or auto")
    return int(value)


_OPTIONS = (
    valued("--ninstances", "Instances, exactly  [default: one per node].", WHOLE_NUMBER, metavar="N"),
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
    flag("--use-e-cores", "The efficiency cores of a hybrid machine too."),
    valued("--goal", "Pick the cores per instance by published practice (a guess).", GOALS),
    valued("--workload", "With --goal throughput: what the instances run; bench, batch know it.", WORKLOADS),
    flag("--latency-mode", "Instances of 4 physical cores, as many as fit."),
    flag("--throughput-mode", "One instance per node."),
    valued(
        "--strategy",
        "Where instances go when cores are left: spread over the nodes, or the first nodes  [default: scatter].",
        STRATEGIES,
    ),
    valued("--scope", "What no instance crosses while there are as many instances  [default: node].", SCOPES),
    flag("--bind-numa-node", "Keep instances inside nodes (that is the default)."),
    flag("--skip-cross-node-cores", "The same."),
    flag("--greedy", "Use every core; instances may be unequal."),
    click.option(
        "--group", "groups", multiple=True, metavar="NxC[@nodeK]", help='Unlike instances: "2x16@node0" (repeatable).'
    ),
    valued("--reserve-cores", "Cores per node left to the system.", COUNT_FROM_0, 0, metavar="N"),
    valued(
        "--memory-per-instance",
        'Cap the instances of each node by its memory, e.g. "24GiB".',
        SIZE,
        metavar="SIZE",
        dest="memory_per_instance_bytes",
    ),
    valued(
        "--memory",
        "High-bandwidth nodes, ordinary ones, or all near ones  [default: the instance's own nodes].",
        MEMORY_TIERS,
    ),
    valued("--memory-policy", "How memory keeps to its nodes  [default: bind].", MEMORY_POLICIES),
    valued(
        "--device",
        "Plan by accelerator: equally many instances for each, on cores of its node  [default: cpu].",
        ("cpu", *DEVICES),
    ),
    valued("--accelerators", "With --device: which of them, counted by PCI address, e.g. 0,2-3.", metavar="LIST"),
    click.option(
        "--instance-idx", "--rank", metavar="LIST", help="Start only these instances of the plan; -1 starts all."
    ),
)


REQUEST_OPTIONS = (*names_of(Request), "node_id", "skip_cross_node_cores")
"""The keyword arguments that `plan_options` adds to a command: the Request's fields, two of them in other words too."""


def plan_options(function: Function) -> Function:
    """Add the options that say how to split the machine; `request_from_options` reads them.

    The command must take `token_normalize_func` so that hyphens and underscores mean the same.
    """
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def request_from_options(values: Mapping[str, Any]) -> Request:
    """The Request that the options ask for.

    Args:
        values: the command's keyword arguments; those that concern something else are ignored.

    Raises:
        RequestError: malformed values, or options that exclude each other.
    """
    nodes_list = values["nodes_list"]
    if values["node_id"] not in (None, NOT_ASKED):
        if nodes_list is not None:
            raise RequestError("use --nodes-list together with --node-id", "both name nodes", "leave out one of them")
        nodes_list = str(values["node_id"])
    request = replace(
        made_of(Request, values),
        nodes_list=nodes_list,
        bind_numa_node=values["bind_numa_node"] or values["skip_cross_node_cores"],
        device=None if values["device"] == "cpu" else values["device"],
    )
    lists = (request.cores_list, "--cores-list"), (request.nodes_list, "--nodes-list")
    for text, option in (*lists, (request.accelerators, "--accelerators")):
        if text is not None:
            check_syntax(text, option)
    request.check()
    return request


def made_of(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """The options of a command.

    Args:
        kind: their class.
        values: click's keyword arguments, and what the class has beside them; others are left out.
    """
    names = (each.name for each in fields(kind))  # type: ignore[arg-type]  # a dataclass
    return kind(**{name: values[name] for name in names if name in values})


def options_of(kind: type[Options], context: click.Context, values: Mapping[str, Any]) -> Options:
    """The options of a command that plans.

    Args:
        kind: their class.
        context: of the command.
        values: its keyword arguments.

    Raises:
        RequestError: see `request_from_options`.
    """
    more = {"command": context.info_name or "run", "request": request_from_options(values)}
    return made_of(kind, {**values, **more})


def plan_of(topology: Topology, request: Request, path: str | None, any_machine: bool = False) -> Plan:
    """The plan that a request gives, or that of a file.

    Args:
        topology: the machine that it is to run on.
        request: what the options ask for; of a file's plan, which instances.
        path: the file; None where there is none.
        any_machine: accept a file that was made for another machine.

    Raises:
        PlanError: the machine cannot give what was asked for.
        DocumentError: the file cannot be read, or breaks a rule.
    """
    if path is None:
        return make_plan(topology, visible_only(request, topology, os.environ))
    plan = read_plan_file(path, topology, any_machine)
    if request.instance_idx is None:
        return plan
    chosen = replace(plan, request=replace(plan.request, instance_idx=request.instance_idx))
    check_instance_idx(chosen)
    return chosen


VISIBLE = {"xpu": "ZE_AFFINITY_MASK", "cuda": "CUDA_VISIBLE_DEVICES"}
"""Variables by which a batch system or an administrator hands out accelerators."""


def visible_only(request: Request, topology: Topology, environment: Mapping[str, str]) -> Request:
    """The request with the accelerators that this process may see, where it names none itself.

    Args:
        request: any.
        topology: the machine; variables say nothing of another than this one.
        environment: the process's variables.

    Raises:
        RequestError: the variable names parts of accelerators, or names them by something else than numbers.
    """
    variable = VISIBLE.get(request.device or "", "")
    text = environment.get(variable)
    if text is None or request.accelerators is not None or topology.source != "live":
        return request
    if not all(word.strip().isdecimal() for word in text.split(",")):
        raise RequestError(
            f"take the accelerators of {variable}={text}",
            "only whole ones that are named by numbers can be planned for",
            "name them with --accelerators, counted by PCI address",
        )
    return replace(request, accelerators=text)


def read_plan_file(path: str, topology: Topology, any_machine: bool = False) -> Plan:
    """The plan in a file, if it fits the machine and keeps the promises.

    Args:
        path: the file, YAML or JSON; - for standard input.
        topology: the machine that it is to run on.
        any_machine: accept a plan that was made for another machine, as long as everything it names is here.

    Raises:
        DocumentError: it cannot be read, or breaks a rule; with the line.
    """
    path = STANDARD_INPUT if path == "-" else path
    text = read_text(path, "write one with: ipexlaunch plan --format yaml > FILE")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise DocumentError(path, "", "it is not UTF-8 text", "write one with: ipexlaunch plan --format yaml > FILE")
    return read_checked_plan(text, path, topology, any_machine)


def plan_to_run(options: LaunchOptions) -> tuple[Plan, Topology]:
    """The plan of a launch, and the machine that it is for.

    Raises:
        IpexLaunchError: the machine cannot be read, or does not give what is asked for.
    """
    topology = open_topology(options.topology or "live")
    try:
        return plan_of(topology, options.request, options.plan_file, options.any_machine), topology
    except PlanError as error:
        troubles = map(str, troubles_of(this_host(topology)))
        raise PlanError(error.wanted, error.available, "; ".join(filter(None, [error.hint, *troubles]))) from None


def this_host(topology: Topology) -> JobHost:
    """Where this process is: the host, and which part of an engine's job.

    Args:
        topology: the machine to plan for; of another one than this nothing is said of cpus.
    """
    return job_host(os.environ, os.uname().nodename, topology if topology.source == "live" else None)
