"""`ipexlaunch topology`: show the machine, live or described."""

from __future__ import annotations

import sys

import click

from ipexlaunch.cli.options.check_files import FileCheckedCommand
from ipexlaunch.cli.terminal import showable, wants_color, width_of
from ipexlaunch.documents.visible_text import visible_lines
from ipexlaunch.errors import RequestError
from ipexlaunch.machine.explain_exclusion import explanation
from ipexlaunch.machine.pictures.drawing import machine_drawing
from ipexlaunch.machine.pictures.svg import machine_svg
from ipexlaunch.machine.pictures.table import machine_table
from ipexlaunch.machine.pictures.tree import machine_tree
from ipexlaunch.machine.probe.capture import save_snapshot
from ipexlaunch.machine.probe.sources import files_of, open_topology
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.topology_file import topology_to_json, topology_to_yaml

PICTURES = {"table": machine_table, "tree": machine_tree, "drawing": machine_drawing}
SOURCE_HELP = (
    "The machine: live (default), a directory with sys/ and proc/, a tar archive of one, a YAML or JSON document, "
    "a name in topologies/, or a sentence such as '2s 2n 28c 2t'."
)
SAVE_HELP = (
    "Write the files that describe the machine to FILE.tar.gz, without host name, serial numbers and addresses, "
    "for a bug report; --topology FILE.tar.gz reads them back."
)
FORMAT = click.Choice([*PICTURES, "svg", "yaml", "json"])


@click.command("topology", cls=FileCheckedCommand)
@click.option("--topology", "source", default="live", metavar="SRC", help=SOURCE_HELP)
@click.option("--format", "form", type=FORMAT, default="table", show_default=True, help="How to show it.")
@click.option("--explain", is_flag=True, help="Say why each cpu and node that is present may not be used.")
@click.option("--save", metavar="FILE.tar.gz", help=SAVE_HELP)
def command(source: str, form: str, explain: bool, save: str | None) -> None:
    """Show the machine: sockets, nodes, cores, memory, what is allowed."""
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
