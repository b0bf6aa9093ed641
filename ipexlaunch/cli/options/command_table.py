"""A group of commands that stand in a table and are loaded when they are used, so that --help stays quick."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click


class CommandTable(click.Group):
    """The commands of a table, in its order."""

    table: Mapping[str, tuple[str, str]]
    """Name to its module in `ipexlaunch.cli` (it is NAME_command there) and its --help line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the one command that is used."""
        if cmd_name not in self.table:
            return None
        module = importlib.import_module(f"ipexlaunch.cli.{self.table[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which there are."""
        if args[0] not in self.table:
            ctx.fail(f"no command {args[0]!r}; there are {', '.join(self.table)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])
