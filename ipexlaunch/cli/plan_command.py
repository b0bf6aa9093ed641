"""`ipexlaunch plan`: show, store, check, explain and export the instances that a request gives."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from ipexlaunch.cli.plan_options import plan_options, request_from_options

if TYPE_CHECKING:
    from ipexlaunch.plan import Plan
    from ipexlaunch.topology import Topology

FORMATS = ("table", "drawing", "svg", "numactl", "yaml", "json")
WIDTH = 100
"""Columns where standard output is no terminal."""


@click.command(
    name="plan",
    context_settings={"token_normalize_func": lambda token: token.replace("_", "-")},
)
@plan_options
@click.option(
    "--topology",
    "source",
    default="live",
    metavar="SRC",
    help='The machine: live, a tree or archive with sys/ and proc/, a topology file, a shipped name, or "2s 2n 28c 2t" '
    "[default: live].",
)
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="How to show the plan."
)
@click.option("--plan", "plan_file", metavar="FILE", help="Show the plan in FILE instead of making one.")
@click.option(
    "--check",
    "check_file",
    metavar="FILE",
    help="Check the plan in FILE against the machine, and say every mistake with its line.",
)
@click.option("--any-machine", is_flag=True, help="Accept a plan that was made for another machine.")
def command(
    source: str, form: str, plan_file: str | None, check_file: str | None, any_machine: bool, **options: Any
) -> int:
    """Show the instances that a request gives, without starting anything."""
    from ipexlaunch.probe.sources import open_topology

    topology = open_topology(source)
    if check_file is not None:
        return _check(check_file, topology, any_machine)
    plan = _plan(topology, plan_file, any_machine, options)
    click.echo(_shown(topology, plan, form), nl=False)
    return 0


def _plan(topology: Topology, plan_file: str | None, any_machine: bool, options: dict[str, Any]) -> Plan:
    from ipexlaunch.plan import make_plan

    request = request_from_options(options)
    if plan_file is None:
        return make_plan(topology, request)
    from ipexlaunch.cli.plan_file import read_plan_file

    return read_plan_file(plan_file, topology, any_machine)


def _check(path: str, topology: Topology, any_machine: bool) -> int:
    from ipexlaunch.cli.plan_file import read_plan_file
    from ipexlaunch.errors import DocumentError

    try:
        plan = read_plan_file(path, topology, any_machine)
    except DocumentError as error:
        for problem in error.problems[1:]:
            click.echo(f"{path}, {problem}", err=True)
        raise
    click.echo(f"{path}: {len(plan.instances)} instances, every promise holds on this machine", err=True)
    return 0


def _shown(topology: Topology, plan: Plan, form: str) -> str:
    if form in ("yaml", "json"):
        from ipexlaunch.documents.plan_document import write_plan

        return write_plan(plan, as_json=form == "json")
    if form == "numactl":
        from ipexlaunch.plan.numactl import numactl_lines

        return "".join(line + "\n" for line in numactl_lines(plan))
    assignment = {cpu: instance.index for instance in plan.instances for cpu in instance.cpus}
    if form == "svg":
        from ipexlaunch.drawings.machine_svg import machine_svg

        return machine_svg(topology, assignment)
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((WIDTH, 24)).columns if terminal else WIDTH
    color = terminal and "NO_COLOR" not in os.environ
    if form == "drawing":
        from ipexlaunch.drawings.machine_drawing import machine_drawing

        return machine_drawing(topology, assignment, width=width, color=color)
    from ipexlaunch.drawings.plan_table import plan_table

    return plan_table(plan, topology, width=width, color=color)
