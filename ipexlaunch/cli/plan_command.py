"""`ipexlaunch topology`: show the machine; `ipexlaunch plan`: show, store, check, explain, compare and export the
instances that a request gives.
"""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ipexlaunch.cli.options.check_files import WrittenFile, check_overlaps
from ipexlaunch.cli.options.checked_command import FileCheckedCommand, checked_command
from ipexlaunch.cli.options.complete_words import complete_machines
from ipexlaunch.cli.options.option_types import COUNT, PORT, flag, valued
from ipexlaunch.cli.options.plan_options import options_of, plan_of, plan_options, read_plan_file
from ipexlaunch.cli.own_command import own_command
from ipexlaunch.cli.run.make_job import variables_of
from ipexlaunch.cli.terminal import showable, spoken, wants_color, width_of
from ipexlaunch.documents.visible_text import visible, visible_lines
from ipexlaunch.documents.write_file import check_writable, write_file
from ipexlaunch.errors import DocumentError, RequestError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.explain_exclusion import explanation
from ipexlaunch.machine.pictures.drawing import machine_drawing
from ipexlaunch.machine.pictures.svg import machine_svg
from ipexlaunch.machine.pictures.table import machine_table, machine_tree
from ipexlaunch.machine.probe.capture import save_snapshot
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.probe.sources import files_of, shipped_machines
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.topology_file import topology_to_json, topology_to_yaml
from ipexlaunch.plan import Plan, Request
from ipexlaunch.plan.explain import explain_plan
from ipexlaunch.plan.export_plan import Workload, export_plan
from ipexlaunch.plan.export_scripts import numactl_lines
from ipexlaunch.plan.ipexrun_plan import compare_with_ipexrun
from ipexlaunch.plan.own_launch import OwnLaunch, request_words
from ipexlaunch.plan.plan import FIRST_PORT
from ipexlaunch.plan.plan_file import write_plan
from ipexlaunch.plan.planner import plan_notes, plan_table

PICTURES = {"table": machine_table, "tree": machine_tree, "drawing": machine_drawing}
SOURCE_HELP = (
    "The machine: live, a directory with sys/ and proc/, a tar archive of one, a YAML or JSON document, a name of "
    "`topology --list`, or a sentence such as '2s 2n 28c 2t'  [default: live]."
)
SAVE_HELP = (
    "Write the files that describe the machine to FILE.tar.gz, without host name, serial numbers and addresses, "
    "for a bug report; --topology FILE.tar.gz reads them back."
)
FORMAT = click.Choice([*PICTURES, "svg", "yaml", "json"])

source_option = click.option(
    "--topology", "source", default="live", metavar="SRC", help=SOURCE_HELP, shell_complete=complete_machines
)


@click.command("topology", cls=FileCheckedCommand)
@source_option
@valued("--format", "How to show it.", FORMAT, "table", dest="form")
@flag("--explain", "Say why each cpu and node that is present may not be used.")
@valued("--save", SAVE_HELP, metavar="FILE.tar.gz")
@click.option("--list", "is_list", is_flag=True, help="List the machines that --topology knows by name.")
def topology_command(source: str, form: str, explain: bool, save: str | None, is_list: bool) -> None:
    """Show the machine: sockets, nodes, cores, memory, what is allowed."""
    if is_list:
        names = shipped_machines()
        for name in names:
            click.echo(f"{name:{max(map(len, names))}}  {open_topology(name).about}")
        return
    if save is not None:
        _save(source, save)
        return
    topology = open_topology(source)
    if not explain:
        for gap in topology.gaps:
            click.echo(f"ipexlaunch: {gap}", err=True)
    if explain:
        click.echo(visible_lines(explanation(topology)), nl=False)
        return
    text = _text(topology, form)
    click.echo(text, nl=not text.endswith("\n"))


def _text(topology: Topology, form: str) -> str:
    if form in PICTURES:
        text = PICTURES[form](topology, width=width_of(sys.stdout), color=wants_color(sys.stdout))
        return showable(text, sys.stdout)
    if form == "svg":
        return machine_svg(topology)
    return topology_to_json(topology) if form == "json" else topology_to_yaml(topology)


def _save(source: str, path: str) -> None:
    files = files_of(source)
    if files is None:
        open_topology(source)  # says what is wrong with it where it is no source at all
        raise RequestError(
            f"save the files of {source!r}", "it is a description, not a machine", "print it with --format yaml"
        )
    count = save_snapshot(files, path)
    click.echo(f"saved {count} files of {'this machine' if source == 'live' else source} in {path}", err=True)


if TYPE_CHECKING:
    Choice = click.Choice[str]  # older ones are not generic at run time
else:
    Choice = click.Choice

FORMATS = ("table", "drawing", "svg", "numactl", "yaml", "json")
EXPORTS = ("numactl", "systemd", "slurm", "docker", "kubernetes")
"""plan.exports.EXPORTS, written out so that --help need not load it (a test compares them)."""


class ExportKind(Choice):
    """The tools that a plan is written for, and what became of one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The kind, if it is one."""
        if str(value).replace("-", "_") == "run_cpu":
            self.fail(
                "run_cpu refuses the lines that this export wrote; use --export numactl, or `ipexlaunch run`, which "
                "takes run_cpu's options",
                param,
                ctx,
            )
        kind: str = super().convert(value, param, ctx)
        return kind


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Those of `plan`."""

    request: Request
    source: str
    plan_file: str | None
    check_file: str | None
    any_machine: bool
    form: str
    explain: bool
    compare: str | None
    export: str | None
    export_dir: str | None
    env: tuple[str, ...]
    port: int
    job_hosts: int
    program: tuple[str, ...]


@checked_command("plan", takes_program=True)
@plan_options
@source_option
@valued("--plan", "Show the plan in FILE instead of making one.", metavar="FILE", dest="plan_file")
@valued("--check", "Check the plan in FILE; say every mistake with its line.", metavar="FILE", dest="check_file")
@flag("--any-machine", "Accept a plan that was made for another machine.")
@valued("--format", "What to print.", FORMATS, "table", dest="form")
@flag("--explain", "Say which rules decided, and why each left-over cpu is idle.")
@valued("--compare", "Show beside it what ipexrun's rule gives.", ("ipexrun",))
@valued("--export", "Write it for another tool, for PROGRAM or any program.", ExportKind(EXPORTS))
@valued("--export-dir", "Write the export's files there instead of printing them.", metavar="DIR")
@click.option(
    "--env", multiple=True, metavar="NAME=VALUE", help="With --export: variable for the workers (repeatable)."
)
@valued("--port", "With --export: what {port} is for instance 0; one more for each further one.", PORT, FIRST_PORT)
@valued(
    "--hosts", "With --export slurm: hosts of the job, one launch on each.", COUNT, 1, metavar="N", dest="job_hosts"
)
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def plan_command(context: click.Context, /, **values: Any) -> int:
    """Show the instances that a request gives, without starting anything.

    PROGRAM and its arguments are for --export only. In them and in --env, {index} {count} {cpus} {nodes} {threads}
    {port} stand for the instance's own. For slurm it is what ipexlaunch is to run there: a script or executable, or
    a command such as batch with its options; for kubernetes the same behind IMAGE, for systemd serve and its options.
    """
    if values["program"] and not values["export"]:
        word = values["program"][0]
        raise click.UsageError(
            f"{word!r} is no option of plan; a PROGRAM goes with --export (start it with ipexlaunch run)"
        )
    options = options_of(PlanOptions, context, values)
    gc.disable()  # a document is read and one is printed: looking for garbage takes 15 ms and finds none
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would look through every installed package
    try:
        return _run(open_topology(options.source), options)
    finally:
        gc.enable()


def _run(topology: Topology, options: PlanOptions) -> int:
    if options.check_file is not None:
        return _check(options.check_file, topology, options.any_machine)
    plan = plan_of(topology, options.request, options.plan_file, options.any_machine)
    if options.export:
        _export(topology, plan, options.export, options)
    else:
        click.echo(_shown(topology, plan, options.form), nl=False)
    _say_more(topology, plan, options)
    notes = plan_notes(topology, plan, stored=options.plan_file is not None)
    if len(plan.chosen) < len(plan.instances):
        chosen = format_list(instance.index for instance in plan.chosen)
        notes = (*notes, f"of these {len(plan.instances)} only --instance-idx {chosen} is started")
    for note in notes:
        click.echo(f"ipexlaunch: {note}", err=True)
    return 0


def _check(path: str, topology: Topology, any_machine: bool) -> int:
    try:
        plan = read_plan_file(path, topology, any_machine)
    except DocumentError as error:
        if len(error.problems) < 2:
            raise
        for problem in error.problems:
            place = problem if problem.startswith(path) else f"{path}, {problem}"
            click.echo(f"ipexlaunch: {spoken(place)}", err=True)
        return error.exit_code
    count = len(plan.instances)
    click.echo(f"{path}: {count} instance{'s' if count > 1 else ''}, every promise holds on this machine", err=True)
    return 0


def _shown(topology: Topology, plan: Plan, form: str) -> str:
    if form in ("yaml", "json"):
        return write_plan(plan, as_json=form == "json")
    if form == "numactl":
        return "".join(line + "\n" for line in numactl_lines(plan))
    assignment = {cpu: instance.index for instance in plan.instances for cpu in instance.cpus}
    if form == "svg":
        return machine_svg(topology, assignment)
    width, color = width_of(sys.stdout), wants_color(sys.stdout)
    if form == "drawing":
        return showable(machine_drawing(topology, assignment, width=width, color=color), sys.stdout)
    return showable(plan_table(plan, topology, width=width, color=color), sys.stdout)


def _own_launch(topology: Topology, plan: Plan, options: PlanOptions) -> OwnLaunch:
    """What makes this plan on a host of the same kind: the options that made it, or its file, which no pod has."""
    words = request_words(plan.request)
    if options.plan_file is not None and options.export != "kubernetes":
        chosen = Request(instance_idx=options.request.instance_idx)
        any_machine = ("--any-machine",) if options.any_machine else ()
        words = (f"--plan={os.path.abspath(options.plan_file)}", *any_machine, *request_words(chosen))
    used = (cpu for instance in plan.chosen for cpu in instance.cpus)
    return OwnLaunch(
        launcher=own_command(),
        options=words,
        program=options.program,
        variables=variables_of(options.env),
        first_port=options.port,
        hosts=options.job_hosts,
        cpus=sum(len(topology.cores[core]) for core in topology.cores_of(used)),
    )


def _export(topology: Topology, plan: Plan, kind: str, options: PlanOptions) -> None:
    folder = options.export_dir
    work = Workload(program=options.program, variables=variables_of(options.env), first_port=options.port)
    files = export_plan(kind, plan, work, _own_launch(topology, plan, options))
    if folder is None:
        for file in files:
            if len(files) > 1:
                click.echo(f"# {file.name}")
            click.echo(file.text)
        return
    paths = [os.path.join(folder, file.name) for file in files]
    written = [WrittenFile(what="an exported file", path=path, kind="file") for path in paths]
    check_overlaps(vars(options), more_writes=written)
    for path in paths:
        check_writable(path, "an exported file", regular=True)
    try:
        for path, file in zip(paths, files, strict=True):
            write_file(path, file.text, mode=0o755 if file.executable else 0o644)
            click.echo(f"wrote {path}", err=True)
    except OSError as error:
        found = (error.strerror or str(error)).lower()
        raise RequestError(f"write to {folder}", found, "make room, or name another --export-dir") from None


def _say_more(topology: Topology, plan: Plan, options: PlanOptions) -> None:
    """Explanation and comparison: below a table or drawing, as comments in YAML, else on standard error."""
    lines: list[str] = []
    if options.explain:
        lines += explain_plan(topology, plan)
    if options.compare:
        lines += ["", *compare_with_ipexrun(topology, plan)] if lines else compare_with_ipexrun(topology, plan)
    if not lines:
        return
    document = options.export is None and options.form in ("table", "drawing", "yaml")
    mark = "# " if options.form == "yaml" else ""
    if document and not mark:
        click.echo("")
    for line in lines:
        click.echo(visible((mark + line).rstrip()), err=not document)
