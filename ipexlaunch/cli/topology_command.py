"""`ipexlaunch topology`: show the machine, live or described."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable

import click

from ipexlaunch.topology.machine import Topology

PICTURES = ("table", "tree", "drawing", "svg")
DOCUMENTS = ("yaml", "json")
SOURCE_HELP = (
    "The machine: live (default), a directory with sys/ and proc/, a tar archive of one, a YAML or JSON document, "
    "a name in topologies/, or a sentence such as '2s 2n 28c 2t'."
)


@click.command("topology")
@click.option("--topology", "source", default="live", metavar="SRC", help=SOURCE_HELP)
@click.option("--format", "form", type=click.Choice([*PICTURES, *DOCUMENTS]), default="yaml", help="How to show it.")
def command(source: str, form: str) -> None:
    """Show the machine: sockets, nodes, cores, memory, what is allowed."""
    from ipexlaunch.probe import open_topology

    topology = open_topology(source)
    click.echo(_picture(topology, form) if form in PICTURES else _document(topology, form), nl=False)


def _document(topology: Topology, form: str) -> str:
    from ipexlaunch.documents.topology_document import topology_to_json, topology_to_yaml

    return topology_to_json(topology) if form == "json" else topology_to_yaml(topology)


def _picture(topology: Topology, form: str) -> str:
    draw: Callable[..., str] = getattr(
        importlib.import_module(f"ipexlaunch.drawings.machine_{form}"), f"machine_{form}"
    )
    if form == "svg":
        return draw(topology)
    on_terminal = sys.stdout.isatty()
    return draw(topology, width=shutil.get_terminal_size((100, 40)).columns if on_terminal else 100, color=on_terminal)
