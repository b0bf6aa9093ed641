"""The plan that a command works with: made from its options, or read from the file that --plan names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ipexlaunch.cli.options.plan_options import request_from_options
from ipexlaunch.documents.read_text import read_text
from ipexlaunch.errors import DocumentError, RequestError
from ipexlaunch.machine.probe.sources import open_topology
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Plan, Request, make_plan
from ipexlaunch.plan.plan_file import read_checked_plan
from ipexlaunch.plan.planner import check_instance_idx


def plan_from_options(topology: Topology, options: Mapping[str, Any], any_machine: bool = False) -> Plan:
    """The plan that the options of `plan_options` ask for, or that of the file in `plan_file`.

    Args:
        topology: the machine that it is to run on.
        options: the command's keyword arguments, with `plan_file`.
        any_machine: accept a file that was made for another machine.

    Raises:
        RequestError: options that contradict each other.
        PlanError: the machine cannot give what was asked for.
        DocumentError: the file cannot be read, or breaks a rule.
    """
    path = options["plan_file"]
    if path is None:
        return make_plan(topology, visible_only(request_from_options(options), topology, os.environ))
    plan = read_plan_file(path, topology, any_machine)
    if options["instance_idx"] is None:
        return plan
    chosen = replace(plan, request=replace(plan.request, instance_idx=options["instance_idx"]))
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
        path: the file, YAML or JSON.
        topology: the machine that it is to run on.
        any_machine: accept a plan that was made for another machine, as long as everything it names is here.

    Raises:
        DocumentError: it cannot be read, or breaks a rule; with the line.
    """
    text = read_text(path, "write one with: ipexlaunch plan --format yaml > FILE")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise DocumentError(path, "", "it is not UTF-8 text")
    return read_checked_plan(text, path, topology, any_machine)


def plan_to_run(options: dict[str, Any]) -> tuple[Plan, Topology]:
    """The plan of `run`'s options, and the machine that it is for.

    Args:
        options: the command's keyword arguments.

    Raises:
        IpexLaunchError: the machine cannot be read, or does not give what is asked for.
    """
    topology = open_topology(options["topology"] or "live")
    return plan_from_options(topology, options, any_machine=options["any_machine"]), topology
