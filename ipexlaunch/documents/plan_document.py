"""Plan to YAML or JSON (schema ipexlaunch/plan/1) and back, with the line of each mistake."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from ipexlaunch.cpulist import format_list
from ipexlaunch.errors import DocumentError
from ipexlaunch.plan.check import Problem, find_problems
from ipexlaunch.plan.instances import Instance, Plan
from ipexlaunch.plan.request import Request
from ipexlaunch.topology import Topology

SCHEMA = "ipexlaunch/plan/1"


def write_plan(plan: Plan, as_json: bool = False) -> str:
    """The plan as YAML (one line per instance) or JSON; `read_plan` gives the same value back."""
    from ipexlaunch.documents.text import dump_json, dump_yaml

    data: dict[str, Any] = {
        "schema": SCHEMA,
        "topology": plan.topology,
        "request": request_data(plan.request),
        "instances": [
            {
                "index": instance.index,
                "cpus": format_list(instance.cpus),
                "nodes": format_list(instance.nodes),
                "memory": instance.memory,
                "threads": instance.threads,
            }
            for instance in plan.instances
        ],
        "idle_cpus": format_list(plan.idle_cpus),
    }
    return dump_json(data) if as_json else dump_yaml(data)


def request_data(request: Request) -> dict[str, Any]:
    """What was asked for, and nothing that was not."""
    asked: dict[str, Any] = {}
    for field in fields(Request):
        value = getattr(request, field.name)
        if field.default is MISSING or value != field.default:
            asked[field.name] = list(value) if isinstance(value, tuple) else value
    return asked


def read_plan(text: str, source: str) -> Plan:
    """The plan that the text holds; whether it fits a machine is for `check_plan` to say.

    Args:
        text: YAML or JSON.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the line and the place.
    """
    return _read(text, source)[0]


def read_checked_plan(text: str, source: str, topology: Topology, any_machine: bool = False) -> Plan:
    """The plan that the text holds, if it fits the machine and keeps the promises.

    Args:
        text: YAML or JSON.
        source: the file's name, for messages.
        topology: the machine that it is to run on.
        any_machine: accept a plan that was made for another machine, as long as everything it names is here.

    Raises:
        DocumentError: the first mistake, with its line; `problems` has them all.
    """
    from ipexlaunch.documents.text import place_of

    plan, document = _read(text, source)
    found = find_problems(topology, plan, any_machine)
    if found:
        texts = [(place_of(document, problem.where), _sentence(problem)) for problem in found]
        where, first = texts[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        error = DocumentError(source, where, first[0] + more, first[1])
        error.problems = tuple(f"{where}: {text}" + (f"; {hint}" if hint else "") for where, (text, hint) in texts)
        raise error
    return plan


def _sentence(problem: Problem) -> tuple[str, str]:
    error = problem.error
    return f"cannot {error.wanted}: {error.available}", error.hint


def _read(text: str, source: str) -> tuple[Plan, Any]:
    from ipexlaunch.documents.plan_model import PlanModel
    from ipexlaunch.documents.text import parse_document, validate

    document = parse_document(text, source, {"plan": [1]})
    model = validate(document, PlanModel)
    request = Request(**model.request.model_dump())
    plan = Plan(
        topology=model.topology,
        request=request,
        instances=tuple(
            Instance(index=row.index, cpus=row.cpus, nodes=row.nodes, memory=row.memory, threads=row.threads)
            for row in model.instances
        ),
        idle_cpus=model.idle_cpus,
    )
    return plan, document
