"""`ipexlaunch completion`: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ipexlaunch.cli.options.checked_command import FileCheckedCommand
from ipexlaunch.errors import IpexLaunchError

VARIABLE = "_IPEXLAUNCH_COMPLETE"
"""What click looks for in the environment of a program called ipexlaunch."""

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=FileCheckedCommand)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, /, shell: str) -> None:
    """Print the script that completes ipexlaunch's words in SHELL.

    Completed are commands, options, the values that they choose from, machines, files and directories.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise IpexLaunchError(f"complete words in {shell}", "click has nothing for it", f"{' or '.join(SHELLS)}")
    click.echo(kind(context.find_root().command, {}, "ipexlaunch", VARIABLE).source())
