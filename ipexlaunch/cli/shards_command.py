"""`ipexlaunch shards`: a batch job in ranges of its input, which an engine queues on as many hosts as there are."""

from __future__ import annotations

import click

from ipexlaunch.cli.main import CommandTable
from ipexlaunch.cli.options.help_pages import HelpfulCommand

SUBCOMMANDS = {
    "make": ("shards.make", "Cut the input of a batch job into shards, and write DIR/job.yaml."),
    "run": ("shards.run", "Try one shard: today's batch job on its range, committed once."),
    "submit": ("shards.submit", "Hand the shards to Slurm, Kubernetes or Ray, or do them here."),
    "status": ("shards.status", "Show how the shards stand."),
    "merge": ("shards.merge", "Put the results of all shards together, once all are done."),
}
"""Name to its module in `cli` (loaded when it is used; it is NAME_command there) and its --help line."""


class Subcommands(HelpfulCommand, CommandTable):
    """The commands of `shards`."""

    table = SUBCOMMANDS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the commands where none is given."""
        if not args:
            ctx.fail(f"give a command: {', '.join(self.table)}")
        return super().parse_args(ctx, args)


@click.group(name="shards", cls=Subcommands)
def shards_command() -> None:
    """Do a batch job in shards, on as many hosts as an engine gives: each item once, whatever host is lost."""
