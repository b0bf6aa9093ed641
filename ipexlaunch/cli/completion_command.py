"""`ipexlaunch completion`: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from ipexlaunch.cli.options.checked_command import FileCheckedCommand

VARIABLE = "_IPEXLAUNCH_COMPLETE"
"""What click looks for in the environment of a program called ipexlaunch."""

SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command("completion", cls=FileCheckedCommand)
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion_command(context: click.Context, /, shell: str) -> None:
    """Print the script that completes ipexlaunch's words in SHELL.

    Completed are commands, options, the values that they choose from, machines, files and directories.
    """
    click.echo(SHELLS[shell](context.find_root().command, {}, "ipexlaunch", VARIABLE).source())
