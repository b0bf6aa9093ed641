"""`ipexlaunch topology`: show the machine, live or described."""

from __future__ import annotations

import click

from ipexlaunch.probe import open_topology


@click.command("topology")
@click.option(
    "--topology",
    "source",
    default="live",
    metavar="SRC",
    help="What to show: live (default), a directory, a tar archive, a YAML or JSON file, a name in topologies/, or a sentence such as '2s 2n 28c 2t'.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "tree", "drawing", "svg", "yaml", "json"]),
    default="yaml",
    help="How to show it.",
)
def command(source: str, form: str) -> None:
    """Show the machine: sockets, nodes, cores, memory, what is allowed."""
    topology = open_topology(source)
    from ipexlaunch.documents.topology_document import topology_to_json, topology_to_yaml

    click.echo(topology_to_json(topology) if form == "json" else topology_to_yaml(topology), nl=False)
