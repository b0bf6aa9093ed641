"""Plan to YAML or JSON (schema ipexlaunch/plan/1) and back, with the line of each mistake."""

from __future__ import annotations

from collections.abc import Sequence

from ipexlaunch.documents.codec import dump_json, read_value, to_plain
from ipexlaunch.documents.text import Document, dump_yaml, parse_document, problem_at
from ipexlaunch.errors import DocumentError
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan.check import Problem, find_problems
from ipexlaunch.plan.plan import Plan

SCHEMA = "ipexlaunch/plan/1"


class PlanFileError(DocumentError):
    """A plan file that follows its format but does not fit the machine, or breaks a promise."""

    def __str__(self) -> str:
        return (
            self.problems[0] if len(self.problems) == 1 else f"{self.problems[0]} (and {len(self.problems) - 1} more)"
        )


def write_plan(plan: Plan, as_json: bool = False) -> str:
    """The plan as YAML (one line per instance) or JSON; `read_plan` gives the same value back."""
    data = to_plain(plan) | {"request": to_plain(plan.request, sparse=True)}
    if as_json:
        return dump_json({"schema": SCHEMA, **data})
    # Lists are always in quotes, so that who adds a range to one need not know that YAML would split it at the comma.
    lines = [
        f'- {{index: {row["index"]}, cpus: "{row["cpus"]}", nodes: "{row["nodes"]}", '
        f"memory: {row['memory']}, threads: {row['threads']}"
        + (f', accelerator: "{row["accelerator"]}"' if "accelerator" in row else "")
        + "}"
        for row in data["instances"]
    ]
    head = dump_yaml({"schema": SCHEMA, "topology": data["topology"], "request": data["request"]})
    return "\n".join([head + "instances:", *lines, f'idle_cpus: "{data["idle_cpus"]}"', ""])


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
    document = parse_document(text, source, {"plan": [1]})
    return read_value(document, Plan), document
