"""Plan to YAML or JSON (schema ipexlaunch/plan/1) and back, with the line of each mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from ipexlaunch.errors import DocumentError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan.check import Problem, find_problems
from ipexlaunch.plan.plan import Instance, Plan
from ipexlaunch.plan.request import Request

if TYPE_CHECKING:
    from ipexlaunch.documents.text import Document

SCHEMA = "ipexlaunch/plan/1"


class PlanFileError(DocumentError):
    """A plan file that follows its format but does not fit the machine, or breaks a promise."""

    def __str__(self) -> str:
        return (
            self.problems[0] if len(self.problems) == 1 else f"{self.problems[0]} (and {len(self.problems) - 1} more)"
        )


def write_plan(plan: Plan, as_json: bool = False) -> str:
    """The plan as YAML (one line per instance) or JSON; `read_plan` gives the same value back."""
    from ipexlaunch.documents.text import dump_json, dump_yaml

    rows = [
        {
            "index": instance.index,
            "cpus": format_list(instance.cpus),
            "nodes": format_list(instance.nodes),
            "memory": instance.memory,
            "threads": instance.threads,
            **({"accelerator": instance.accelerator} if instance.accelerator else {}),
        }
        for instance in plan.instances
    ]
    head = {"schema": SCHEMA, "topology": plan.topology, "request": request_data(plan.request)}
    if as_json:
        return dump_json({**head, "instances": rows, "idle_cpus": format_list(plan.idle_cpus)})
    # Lists are always in quotes, so that who adds a range to one need not know that YAML would split it at the comma.
    lines = [
        f'- {{index: {row["index"]}, cpus: "{row["cpus"]}", nodes: "{row["nodes"]}", '
        f"memory: {row['memory']}, threads: {row['threads']}"
        + (f', accelerator: "{row["accelerator"]}"' if "accelerator" in row else "")
        + "}"
        for row in rows
    ]
    return "\n".join([dump_yaml(head) + "instances:", *lines, f'idle_cpus: "{format_list(plan.idle_cpus)}"', ""])


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
    plan, document = _read(text, source)
    if found := find_problems(topology, plan, any_machine):
        raise _plan_file_error(document, found)
    return plan


def _plan_file_error(document: Document, found: Sequence[Problem]) -> PlanFileError:
    """All problems, in the order of the file."""
    from ipexlaunch.documents.text import problem_at

    places = [problem_at(document, problem.where, "", "").where for problem in found]
    texts = [f"{document.source}, {place}: {problem.error}" for place, problem in zip(places, found, strict=True)]
    order = sorted(range(len(found)), key=lambda i: (_line(places[i]), i))
    first = found[order[0]].error
    error = PlanFileError(document.source, places[order[0]], first.available, first.hint)
    error.problems = tuple(texts[i] for i in order)
    return error


def _line(place: str) -> int:
    number = place.removeprefix("line ").partition(",")[0]
    return int(number) if number.isdigit() else 0


def _read(text: str, source: str) -> tuple[Plan, Document]:
    from ipexlaunch.documents.text import parse_document, validate
    from ipexlaunch.plan.plan_schema import PlanModel

    document = parse_document(text, source, {"plan": [1]})
    model = validate(document, PlanModel)
    request = Request(**model.request.model_dump())
    plan = Plan(
        topology=model.topology,
        request=request,
        instances=tuple(
            Instance(
                index=row.index,
                cpus=row.cpus,
                nodes=row.nodes,
                memory=row.memory,
                threads=row.threads,
                accelerator=row.accelerator,
            )
            for row in model.instances
        ),
        idle_cpus=model.idle_cpus,
    )
    return plan, document
