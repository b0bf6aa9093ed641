"""How --help looks: options under headings, examples at the end, readable in a terminal of 40 columns too."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable

import click

from ipexlaunch.cli.options.help_groups import EXAMPLES, grouped

WIDEST = 100
NARROW = 64
"""Below so many columns an explanation stands under its option, not beside it."""
NARROWEST = 24


class HelpFormatter(click.HelpFormatter):
    """click's own, which has 50 columns at least, in the width that the terminal has."""

    def __init__(self, width: int | None, max_width: int | None) -> None:
        """Take the terminal's width, or what COLUMNS says.

        Args:
            width: fixed; None for the terminal's.
            max_width: the widest that is taken.
        """
        if width is None:
            width = max(NARROWEST, min(shutil.get_terminal_size().columns, max_width or WIDEST))
        super().__init__(width=width, max_width=max_width)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Words and what they mean, beside each other where there is room.

        Args:
            rows: of both.
            col_max: the widest first column.
            col_spacing: between both.
        """
        if self.width >= NARROW:
            super().write_dl(list(rows), col_max, col_spacing)  # older clicks take no other
            return
        for word, meaning in rows:
            self.write_text(word)
            with self.indentation():
                self.write_text(meaning)


def below_program(ctx: click.Context) -> str:
    """The command's words without the program's: "run", "shards make".

    Args:
        ctx: of the command.
    """
    return ctx.command_path.partition(" ")[2]


Row = tuple[str, str]
"""An option as it is spelled, and what it means."""


def option_rows(
    command: click.Command, ctx: click.Context, row_of: Callable[[click.Option, click.Context], Row | None]
) -> dict[str, list[Row]]:
    """A command's options under their headings, without --help.

    Args:
        command: itself.
        ctx: of the command.
        row_of: an option's row; None for one that is not shown.
    """
    options = [each for each in command.params if isinstance(each, click.Option)]
    rows = {each.name or "": row for each in options if (row := row_of(each, ctx)) is not None}
    return {
        heading: [rows[name] for name in names] for heading, names in grouped(below_program(ctx), list(rows)).items()
    }


def help_rows(command: click.Command, ctx: click.Context) -> list[Row]:
    """The row of --help; none where the command has no such option.

    Args:
        command: itself.
        ctx: of the command.
    """
    asked = command.get_help_option(ctx)
    row = asked.get_help_record(ctx) if asked is not None else None
    return [row] if row is not None else []


class HelpContext(click.Context):
    """A context whose help has that form."""

    formatter_class = HelpFormatter


class HelpfulCommand(click.Command):
    """A command whose --help has its options under headings, and examples below them."""

    context_class = HelpContext

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings.

        Args:
            ctx: of the command.
            formatter: takes them.
        """
        for heading, rows in option_rows(self, ctx, _short_row).items():
            with formatter.section(heading):
                formatter.write_dl(rows)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        if last := help_rows(self, ctx):
            with formatter.section("Help"):
                formatter.write_dl(last)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, and where more is found.

        Args:
            ctx: of the command.
            formatter: takes them.
        """
        name = below_program(ctx)
        if name in EXAMPLES:
            with formatter.section("Examples"):
                for line in EXAMPLES[name]:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


def _short_row(option: click.Option, ctx: click.Context) -> Row | None:
    """An option and what it means; its further spellings are in the man page."""
    record = option.get_help_record(ctx)
    if record is None:
        return None
    spelled = record[0]
    for alias in [name for name in option.opts if name.startswith("--")][1:]:
        spelled = spelled.replace(f", {alias}", "", 1)
    return spelled, record[1]
