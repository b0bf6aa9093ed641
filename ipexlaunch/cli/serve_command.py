"""`ipexlaunch serve`: one pinned server in each slot, and what steers them while they serve."""

from __future__ import annotations

import click

from ipexlaunch.cli.main import CommandTable
from ipexlaunch.cli.options.help_pages import HelpfulCommand

SUBCOMMANDS = {
    "start": ("serve.start", "Start one server per instance, and keep them (the default)."),
    "status": ("serve.control", "Show how the servers stand."),
    "reload": ("serve.control", "Replace the servers by new ones, one slot at a time."),
    "drain": ("serve.control", "Have the requests of one slot finished, and end its server."),
    "stop": ("serve.control", "Have all requests finished, and end the servers."),
}
"""Name to its module in `cli` (loaded when it is used; it is NAME_command there) and its --help line."""


class Subcommands(HelpfulCommand, CommandTable):
    """The commands of `serve`; what is none of them is started."""

    table = SUBCOMMANDS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert `start` where the first word is no command."""
        if not args or args[0] not in SUBCOMMANDS:
            args = ["start", *args]
        return super().parse_args(ctx, args)


@click.group(name="serve", cls=Subcommands)
def serve_command() -> None:
    """Keep one pinned server per instance, behind one endpoint, and steer them."""
