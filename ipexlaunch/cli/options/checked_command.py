"""A command that refuses options that would be ignored, by `option_table`, and files that it cannot have as its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import click
from click.core import ParameterSource

from ipexlaunch.cli.options.check_files import check_overlaps
from ipexlaunch.cli.options.complete_words import complete_files
from ipexlaunch.cli.options.help_pages import HelpfulCommand, below_program
from ipexlaunch.cli.options.hold_outputs import check_outputs, outputs_held, outputs_of, refuse_taken
from ipexlaunch.cli.options.option_table import READS, REFUSED, RULES, WRITES, Rule
from ipexlaunch.cli.options.option_types import Decorated, adding
from ipexlaunch.cli.terminal import tell
from ipexlaunch.errors import UsageError
from ipexlaunch.plan.plan import names_in


class FileCheckedCommand(HelpfulCommand):
    """A command whose options and files are checked as soon as they are read, and whose outputs are its own then."""

    def invoke(self, ctx: click.Context) -> Any:
        """Check, hold, then run; what is wrong with the words is said with the way to this command's --help."""
        try:
            _refuse_empty(ctx)
            _refuse_two_readers(ctx)
            check_overlaps(ctx.params)
            if not ctx.params.get("replay"):  # else with what the kept run says (`recorded_values`)
                check_options(ctx)
            _hint_at_options_behind(ctx)
            writes = any(ctx.params.get(name) is not None for name in (*WRITES, "metrics_port"))
            if ctx.params.get("dry_run") or not writes:
                return super().invoke(ctx)
            check_outputs(ctx.params)
            refuse_taken(ctx.params)
            with outputs_held(outputs_of(ctx.params)):
                return super().invoke(ctx)
        except UsageError as error:
            raise click.UsageError(str(error), ctx) from None


def checked_command(name: str, *, takes_program: bool = False) -> Callable[[Callable[..., Any]], click.Command]:
    """A command whose options may be spelled with underscores, as ipexrun takes --log_dir as well as --log-dir.

    Args:
        name: of the command.
        takes_program: whether what follows PROGRAM is the program's, whatever it looks like.
    """
    settings = {
        "allow_interspersed_args": not takes_program,
        "token_normalize_func": lambda token: token.replace("_", "-"),
    }
    return click.command(name=name, cls=FileCheckedCommand, context_settings=settings)


def program_arguments(function: Decorated) -> Decorated:
    """Add PROGRAM and its arguments, and hand the context over."""
    program = click.argument("program", type=click.UNPROCESSED, required=False, shell_complete=complete_files)
    arguments = click.argument("arguments", nargs=-1, type=click.UNPROCESSED, shell_complete=complete_files)
    return adding(program, arguments, click.pass_context)(function)


def _refuse_empty(ctx: click.Context) -> None:
    """An empty path is a variable of the shell that was not set; the present directory would be taken for it."""
    named = {name: ctx.params.get(name) for name in (*READS, *WRITES) if name in ctx.params}
    for parameter in ctx.command.params:
        value = named.get(parameter.name or "")
        if ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE and (
            value == "" or (isinstance(value, tuple) and "" in value)
        ):
            raise click.UsageError(f"{parameter.get_error_hint(ctx)} is empty; give a path, or leave it out", ctx)


UNMISTAKABLE = frozenset({
    "ninstances", "ncores_per_instance", "cores_list", "nodes_list", "reserve_cores", "use_logical_cores", "run_dir",
    "memory_policy", "memory_per_instance_bytes", "ready_timeout", "proof_interval", "share_start",
})  # fmt: skip
"""Options that hardly any program has beside ours."""


def _hint_at_options_behind(ctx: click.Context) -> None:
    """What stands behind the program is the program's; who wrote an option of ours there is told so."""
    ours = {name for each in ctx.command.params if each.name in UNMISTAKABLE for name in each.opts}
    program = ctx.params.get("program")
    for word in ctx.params.get("arguments") or ():
        name = word.partition("=")[0].replace("_", "-")
        if name in ours:
            tell(f"{name} goes to {program}, behind which it stands; put it before {program} if it is for ipexlaunch")


FROM_STANDARD_INPUT = ("check_file", "input_file", "plan_file")
"""Options for which - is standard input."""


def _refuse_two_readers(ctx: click.Context) -> None:
    """Standard input is read once: whoever comes second would find it empty."""
    values = {each: ctx.params.get(each.name or "") for each in ctx.command.params if each.name in FROM_STANDARD_INPUT}
    taking = [each for each, value in values.items() if value == "-" or (isinstance(value, tuple) and "-" in value)]
    if len(taking) > 1:
        both = " and ".join(f"{_flag(each)} -" for each in taking)
        raise click.UsageError(f"{both} both read standard input; give one of them the path of a file", ctx)


NOTHING: Mapping[str, object] = MappingProxyType({})


def check_options(
    context: click.Context, settled: Mapping[str, object] = NOTHING, rules: Sequence[Rule] = RULES
) -> None:
    """Refuse options that need another one, or exclude one that is there.

    Commands call it again once they know what options that were not given come to.

    Args:
        context: of the command.
        settled: names of options to values, in the place of those of the command line.
        rules: the table.

    Raises:
        UsageError: one would be ignored; with the reason, and what would work.
    """
    command, values = context.command, {**context.params, **settled}
    parameters = {each.name or "": each for each in command.params}
    given = {name for name in parameters if is_typed(context, name)}

    def holds(terms: str) -> bool:
        return all(map(one_holds, terms.split("+")))

    def one_holds(term: str) -> bool:
        name, equals, value = term.partition("=")
        if name == "env" and equals:
            return value in variables_named(values.get("env") or ())
        return str(values.get(name)) == value if equals else name in given

    def words(terms: str) -> str:
        parts = [term.partition("=") for term in terms.split("+")]
        return " with ".join(
            f"{_flag(parameters[name])} {value.removesuffix('True')}".rstrip() for name, _, value in parts
        )

    for name, why in REFUSED.get(command.name or "", {}).items():
        if name in given:
            of = below_program(context) or command.name
            raise click.UsageError(f"{_flag(parameters[name])} is not for {of}: {why}; leave it out", context)
    for rule in rules:
        if rule.commands and command.name not in rule.commands:
            continue
        for option in (each for each in rule.options if each.partition("=")[0] in given and holds(each)):
            name = option.partition("=")[0]
            for term in (term for term in rule.excludes if term.partition("=")[0] != name and holds(term)):
                typed = term.partition("=")[0] in given
                here, remedy = ("", "one of them") if typed else (", which it is here,", words(option))
                both = f"{words(option)} and {words(term)}{here} exclude each other"
                raise click.UsageError(f"{both}: {rule.why}; leave out {remedy}", context)
            known = [term for term in rule.needs if term.partition("=")[0] in parameters]
            if known and not any(map(holds, known)):
                needed = " or ".join(map(words, known))
                raise click.UsageError(f"{words(option)} needs {needed}: {rule.why}", context)
    is_told = any("port" in names_in(word) for word in _words_of(context)) or values.get("preset")  # which adds it
    if "port" in given and not is_told:
        raise click.UsageError(
            "--port needs {port} among the program's arguments or in --env: nothing else is told it",
            context,
        )


def check_settled(**settled: object) -> None:
    """Look the present command's options up again with what was not given and is known now: a task, a format.

    Args:
        settled: names of options to their values.

    Raises:
        UsageError: an option would be ignored.
    """
    check_options(click.get_current_context(), settled)


def variables_named(texts: Sequence[str]) -> frozenset[str]:
    """The names of variables.

    Args:
        texts: NAME=VALUE each, as --env takes them.
    """
    return frozenset(text.partition("=")[0] for text in texts)


def _words_of(context: click.Context) -> list[str]:
    """The words in which templates stand."""
    found: list[str] = []
    for name in ("program", "arguments", "env"):
        value = context.params.get(name) or ()
        found += [value] if isinstance(value, str) else value
    return found


def _flag(parameter: click.Parameter) -> str:
    return next((name for name in parameter.opts if name.startswith("--")), parameter.opts[0])


def is_typed(context: click.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE
