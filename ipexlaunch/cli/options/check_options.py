"""Refuses options of a command that would be ignored, by the table of `option_table`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import click
from click.core import ParameterSource

from ipexlaunch.cli.options.option_table import REFUSED, RULES, Rule
from ipexlaunch.plan.templates import names_in

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
            raise click.UsageError(f"{_flag(parameters[name])} is not for {command.name}: {why}; leave it out", context)
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
    if "port" in given and not any("port" in names_in(word) for word in _words_of(context)):
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
