#!/usr/bin/env python3
"""Write the manual pages of every command, as `man` reads them.

    python tools/make_man_pages.py build/man    # ipexlaunch.1, ipexlaunch-run.1, ...

They are made from the commands themselves: what --help says, with every spelling of every option. Nothing is needed but
this checkout and click, so that whatever builds the wheel can call `man_pages()`. The table of exit codes is that of
docs/report.md.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import click  # noqa: E402  # after the path of this checkout
from click.shell_completion import ShellComplete, get_completion_class  # noqa: E402

from ipexlaunch import __version__  # noqa: E402
from ipexlaunch.cli import COMMANDS  # noqa: E402
from ipexlaunch.cli.main import ipexlaunch  # noqa: E402
from ipexlaunch.cli.options.help_groups import EXAMPLES  # noqa: E402
from ipexlaunch.cli.options.help_pages import Row, below_program, help_rows, option_rows  # noqa: E402

COMPATIBLE = "Accepted from other tools"
"""The heading of options that --help does not show."""

VERBATIM = "\b"
"""click's sign before a paragraph whose lines stay as they are."""


def main() -> int:
    """Write the pages into the folder that is named."""
    if len(sys.argv) != 2:
        print("man pages: name the folder to write to, such as build/man", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in man_pages().items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


def man_pages() -> dict[str, str]:
    """File name to text of every page."""
    return {"ipexlaunch.1": _overview()} | {f"ipexlaunch-{name}.1": text for name, text in _pages()}


def completion(shell: str) -> str:
    """The script that a shell reads to complete words; that it has click's version of the shell is not looked at.

    Args:
        shell: bash, zsh or fish.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise ValueError(f"click has nothing for {shell}")
    return ShellComplete.source(kind(ipexlaunch, {}, "ipexlaunch", "_IPEXLAUNCH_COMPLETE"))


def _overview() -> str:
    """The page of the program: what it is, its commands, its exit codes."""
    first, *further = _paragraphs(ipexlaunch.help or "")
    lines = [_title("ipexlaunch"), ".SH NAME", rf"ipexlaunch \- {_plain(_sentence(first))}"]
    lines += [".SH SYNOPSIS", r"\fBipexlaunch\fR [\fICOMMAND\fR] [\fIOPTIONS\fR] \fIPROGRAM\fR [\fIARGUMENTS\fR]..."]
    lines += [".SH DESCRIPTION", *_text([first, *further])]
    lines += [".SH COMMANDS"]
    for name, (_, line) in COMMANDS.items():
        lines += _tagged(f"ipexlaunch {name}", line)
    lines += [".SH EXIT STATUS"]
    for code, meaning in exit_codes():
        lines += _tagged(code, meaning)
    lines += _see_also("ipexlaunch")
    return "\n".join(lines) + "\n"


def _pages() -> Iterator[tuple[str, str]]:
    """Name and page of each command, and of those that are below one."""
    program = click.Context(ipexlaunch, info_name="ipexlaunch", **ipexlaunch.context_settings)
    for name, (module, line) in COMMANDS.items():
        command: click.Command = getattr(importlib.import_module(f"ipexlaunch.cli.{module}"), f"{name}_command")
        context = click.Context(command, parent=program, info_name=name)
        below = [] if not isinstance(command, click.Group) else command.list_commands(context)
        yield name, _page(command, context, line, below)
        for word in below:
            found = command.get_command(context, word) if isinstance(command, click.Group) else None
            if found is not None:
                yield f"{name}-{word}", _page(found, click.Context(found, parent=context, info_name=word), "", [])


def _page(command: click.Command, context: click.Context, line: str, below: Iterable[str]) -> str:
    """The page of one command.

    Args:
        command: itself.
        context: of it.
        line: what it does; "" for the first sentence of its help.
        below: the names of its own commands.
    """
    words = context.command_path.split()
    name, title = below_program(context), "-".join(words)
    line = line or _paragraphs(command.help or "")[0]
    lines = [_title(title), ".SH NAME", rf"{_plain(title)} \- {_plain(_sentence(line))}"]
    usage = " ".join(rf"\fI{_plain(piece)}\fR" for piece in command.collect_usage_pieces(context))
    lines += [".SH SYNOPSIS", rf"\fB{' '.join(words)}\fR {usage}"]
    lines += [".SH DESCRIPTION", *_text(_paragraphs(command.help or line))]
    lines += [".SH OPTIONS"]
    for heading, options in option_groups(command, context).items():
        lines.append(f".SS {_plain(heading)}")
        for spelled, meaning in options:
            lines += _tagged(spelled, meaning)
    if name in EXAMPLES:
        lines += [".SH EXAMPLES", ".nf", *(_plain(example) for example in EXAMPLES[name]), ".fi"]
    lines += [".SH EXIT STATUS", r"See \fBipexlaunch\fR(1)."]
    return "\n".join([*lines, *_see_also(title, [f"{title}-{word}" for word in below])]) + "\n"


def option_groups(command: click.Command, context: click.Context) -> dict[str, list[Row]]:
    """A command's options under the headings of its --help, those that --help does not show too.

    Args:
        command: itself.
        context: of it.
    """
    hidden = [each for each in command.params if isinstance(each, click.Option) and each.hidden]
    groups = option_rows(command, context, click.Option.get_help_record)
    groups[COMPATIBLE] = [(", ".join(each.opts), each.help or "") for each in hidden]
    groups["Help"] = help_rows(command, context)
    return {heading: rows for heading, rows in groups.items() if rows}


def exit_codes() -> Iterator[tuple[str, str]]:
    """Codes and what they mean, from the table of the documentation."""
    page = (ROOT / "docs/report.md").read_text(encoding="utf-8")
    table = page.partition("## Exit codes")[2].partition("\n## ")[0]
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 2 and cells[0] != "code":
            yield cells[0], re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", cells[1]).replace("`", "")


def _title(name: str) -> str:
    return f'.TH "{name.upper()}" "1" "" "ipexlaunch {__version__}" "User Commands"'


def _see_also(name: str, below: Iterable[str] = ()) -> list[str]:
    others = [*below, "ipexlaunch", *(f"ipexlaunch-{command}" for command in COMMANDS)]
    return [".SH SEE ALSO", ", ".join(rf"\fB{_plain(other)}\fR(1)" for other in others if other != name)]


def _tagged(tag: str, meaning: str) -> list[str]:
    return [".TP", rf"\fB{_plain(tag)}\fR", _line(" ".join(meaning.split()))]


def _paragraphs(text: str) -> list[str]:
    return [part.strip("\n") for part in re.split(r"\n[ \t]*\n", text) if part.strip()]


def _text(paragraphs: Iterable[str]) -> Iterator[str]:
    """Paragraphs as roff, those that click leaves as they are likewise."""
    for paragraph in paragraphs:
        if paragraph.lstrip().startswith(VERBATIM):
            lines = [line for line in paragraph.splitlines() if line.strip(f" {VERBATIM}")]
            yield from (".PP", ".nf", *map(_line, lines), ".fi")
        else:
            yield from (".PP", _line(" ".join(paragraph.split())))


def _sentence(text: str) -> str:
    """A line for NAME: without its full stop."""
    return " ".join(text.split()).removesuffix(".")


def _plain(text: str) -> str:
    """The text with nothing in it that roff understands."""
    return text.replace("\\", r"\e").replace("-", r"\-")


def _line(text: str) -> str:
    """A line of its own: one that begins with a dot or a quote would be a request."""
    plain = _plain(text)
    return rf"\&{plain}" if plain.startswith((".", "'")) else plain


if __name__ == "__main__":
    sys.exit(main())
