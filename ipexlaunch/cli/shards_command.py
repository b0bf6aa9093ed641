"""`ipexlaunch shards`: a batch job in ranges of its input, which an engine queues on as many hosts as there are."""

from __future__ import annotations

import importlib

import click

from ipexlaunch.cli.options.help_pages import HelpfulCommand

SUBCOMMANDS = {
    "make": ("shards.make", "Cut the input of a batch job into shards, and write DIR/job.yaml."),
    "run": ("shards.run", "Try one shard: today's batch job on its range, committed once."),
    "submit": ("shards.submit", "Hand the shards to Slurm, Kubernetes or Ray, or do them here."),
    "status": ("shards.status", "Show how the shards stand."),
    "merge": ("shards.merge", "Put the results of all shards together, once all are done."),
}
"""Name to its module in `cli` (loaded when it is used; it is NAME_command there) and its --help line."""


class Subcommands(HelpfulCommand, click.Group):
    """Commands loaded on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every one, in the order in which they are used."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the one that is used."""
        if cmd_name not in SUBCOMMANDS:
            return None
        module = importlib.import_module(f"ipexlaunch.cli.{SUBCOMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in SUBCOMMANDS.items()])


@click.group(name="shards", cls=Subcommands)
def shards_command() -> None:
    """Do a batch job in shards, on as many hosts as an engine gives: each item once, whatever host is lost."""
