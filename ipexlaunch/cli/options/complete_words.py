"""What a shell offers for a word that is being typed: files, directories, machines by name."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from ipexlaunch.machine.probe.sources import shipped_machines


def complete_files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files, which the shell itself knows.

    Args:
        incomplete: the beginning of the word.
    """
    return [CompletionItem(incomplete, type="file")]


def complete_directories(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Directories, which the shell itself knows.

    Args:
        incomplete: the beginning of the word.
    """
    return [CompletionItem(incomplete, type="dir")]


def complete_machines(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names that --topology takes, and files.

    Args:
        context: of the command.
        parameter: the option.
        incomplete: the beginning of the word.
    """
    names = [name for name in ("live", *shipped_machines()) if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or complete_files(context, parameter, incomplete)


BY_METAVAR = {
    "FILE": complete_files,
    "PATH": complete_files,
    "FILE.prom": complete_files,
    "DIR": complete_directories,
    "DIR|random:NAME": complete_directories,
    "SRC": complete_machines,
}
"""What stands for an option's value in --help to what completes it."""
