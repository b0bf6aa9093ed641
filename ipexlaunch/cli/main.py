"""The `ipexlaunch` program: finds the command, and turns every error into one line and an exit code."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence

import click
from click.shell_completion import CompletionItem

from ipexlaunch import __version__
from ipexlaunch.cli import COMMANDS, EXIT_BUG, EXIT_INTERRUPTED, EXIT_UNSHOWN
from ipexlaunch.cli.options.complete_words import complete_files
from ipexlaunch.cli.terminal import spoken
from ipexlaunch.errors import EndedBySignal, IpexLaunchError
from ipexlaunch.launch.guard_streams import (
    READER_GONE,
    open_closed_descriptors,
    say_unshown,
    take_over,
    wait_until_shown,
)
from ipexlaunch.launch.process_failures import remedy_of

LEAST_TYPED = 4
"""Characters of an option, from which on it is taken for the beginning of a longer one: "--ni"."""

OTHERWISE = {"--seconds": "--duration", "--duration": "--seconds"}
"""Options by what another command calls the same: `bench` measures once, `tune` and `dtypes` each of many."""

BACKEND_WORDS = {"cpu"}
"""`ipexrun cpu ...` names the backend first; here it means `run`."""


class CommandTable(click.Group):
    """A group whose commands stand in a table and are loaded when they are used, so that --help stays quick."""

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


class Commands(CommandTable):
    """Commands loaded on use; what is no command starts `run`, so that `ipexlaunch --ninstances 4 script.py` works."""

    table = COMMANDS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert `run` where the first word is neither a command nor one of the group's own options."""
        if args and args[0] in BACKEND_WORDS:
            args = ["run", *args[1:]]
        elif args and args[0] == "help":
            args = [*args[1:2], "--help"]
        elif args and args[0] not in COMMANDS and args[0] not in ("--help", "-h", "--version"):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What a shell offers for the first word: commands, what `run` takes, and the options here.

        Args:
            ctx: of the group.
            incomplete: the beginning of the word.
        """
        run = self.get_command(ctx, "run")
        more = run.shell_complete(click.Context(run, ctx), incomplete) if run is not None else []
        found = super().shell_complete(ctx, incomplete)
        known = {item.value for item in found}
        found += [item for item in more if item.value not in known]
        return found or complete_files(ctx, ctx.command.params[0], incomplete)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=False,
)
@click.version_option(__version__, prog_name="ipexlaunch")
def ipexlaunch() -> None:
    """Split a CPU server into NUMA-true slices, run one pinned process on each, report one honest throughput.

    \b
      ipexlaunch --ninstances 4 script.py --script-arg 1
      ipexlaunch plan --ninstances 4
      ipexlaunch topology
    """


def run_program() -> int:
    """Run the command line of this process to its very end: until what it says is shown; returns its exit code."""
    open_closed_descriptors()
    take_over()
    code = main()
    problems = wait_until_shown()
    # A run has said already what became of its output; of a document its reader took what it wanted.
    say_unshown([problem for problem in problems if not problem.endswith(READER_GONE)])
    return code or (EXIT_UNSHOWN if problems else 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; only this function turns errors into codes.

    Args:
        argv: the words after the program's name; None takes those of the process.
    """
    try:
        arguments = list(sys.argv[1:] if argv is None else argv)
        result = ipexlaunch.main(args=arguments or ["--help"], prog_name="ipexlaunch", standalone_mode=False)
    except IpexLaunchError as error:
        return _complain(str(error), error.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        name = context.command_path if context else "ipexlaunch"
        message = error.format_message()
        if isinstance(error, click.NoSuchOption):
            # --help and the other commands need nothing of a run's options.
            from ipexlaunch.cli.options.run_options import explain_absent

            message = explain_absent(unknown_option(error))
        return _complain(f"{' '.join(message.split())} (try '{name} --help')", error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _complain("interrupted", EXIT_INTERRUPTED)
    except EndedBySignal as ended:
        return _complain("interrupted", ended.exit_code)
    except Exception as error:  # the boundary: whatever else escapes is our bug, said as such, or the system's refusal
        if refusal := _refusal(error):
            return _complain(refusal, IpexLaunchError.exit_code)
        traceback.print_exc()
        return _complain(f"this is a bug in ipexlaunch {__version__}; please report it with the lines above", EXIT_BUG)
    return result if isinstance(result, int) else 0


def unknown_option(error: click.NoSuchOption) -> str:
    """A parser's complaint about an option, with those that are meant, where one is close to it.

    Args:
        error: of the parser.
    """
    known = error.ctx.command.params if error.ctx is not None else []
    names = [name for parameter in known if not getattr(parameter, "hidden", False) for name in parameter.opts]
    typed = error.option_name.replace("_", "-")
    longer = [name for name in names if len(typed) > LEAST_TYPED and name.startswith(typed)]
    elsewhere = OTHERWISE.get(typed, "")
    close = difflib.get_close_matches(typed, names, n=2, cutoff=0.8)
    meant = longer[:3] or close or ([elsewhere] if elsewhere in names else [])
    return f"no option '{error.option_name}'" + (f"; did you mean {' or '.join(meant)}?" if meant else "")


def _refusal(error: Exception) -> str:
    """What is wrong with the process that we are, where that is the reason of an error; else ""."""
    if remedy := remedy_of(error):
        what = getattr(error, "strerror", None) or str(error) or "no memory is left"
        where = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
        return f"cannot go on: {what}{where}; {remedy}"
    try:
        os.getcwd()
    except OSError as gone:
        return f"cannot go on: the current directory cannot be used ({gone.strerror}); cd to one that is there"
    return ""


def _complain(text: str, code: int) -> int:
    print(f"ipexlaunch: {spoken(text)}", file=sys.stderr)
    return code
