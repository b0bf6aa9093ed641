"""Every line of the table of options is obeyed, with a message that names both options and a way out."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from ipexlaunch.cli import COMMANDS
from ipexlaunch.cli.main import main
from ipexlaunch.cli.options.checked_command import check_options
from ipexlaunch.cli.options.option_table import REFUSED, RULES, Rule
from tests.cli.option_states import options_of, parsed, words_for


def with_value(options: dict[str, click.Option], terms: str) -> list[str]:
    """Words that make terms of the table hold."""
    words: list[str] = []
    for term in terms.split("+"):
        name, _, value = term.partition("=")
        words += ["--env", f"{value}=1"] if name == "env" else words_for(options[name], value)
    return words


def lines_of(name: str) -> Iterator[tuple[list[str], set[str], list[Rule]]]:
    """Words that a line of the table must refuse for this command, and the flags that the message must name."""
    options, refused = options_of(name), REFUSED.get(name, {}).keys()
    for rule in (rule for rule in RULES if not rule.commands or name in rule.commands):
        for option in (each for each in rule.options if each.partition("=")[0] in options.keys() - refused):
            words = with_value(options, option)
            for terms in rule.excludes:
                names = [term.partition("=")[0] for term in terms.split("+")]
                if set(names) <= options.keys() - refused and option.partition("=")[0] not in names:
                    more = with_value(options, terms)
                    yield [*words, *more], {word for word in (words[0], *more) if word.startswith("--")}, [rule]
            needs = [term for term in rule.needs if term.partition("=")[0] in options]
            if needs and not any(options[term.partition("=")[0]].required for term in needs):
                yield words, {words[0]}, [rule]
    for each in refused:
        words = [*words_for(options[each])]
        yield words, {words[0]}, []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_line_of_the_table_is_obeyed_with_a_message_that_names_both(name: str) -> None:
    options = options_of(name)
    required = [word for each in options.values() if each.required for word in words_for(each)]
    required += ["x"] if name == "report" else []
    for words, flags, rules in lines_of(name):
        with pytest.raises(click.UsageError) as caught:
            check_options(parsed(name, [*required, *words]), rules=rules)
        said = str(caught.value)
        assert all(flag in said for flag in flags), (words, said)


def test_the_table_is_about_options_that_there_are() -> None:
    named = {name for command in (*COMMANDS, "serve start") for name in options_of(command)}
    for rule in RULES:
        for terms in (*rule.options, *rule.needs, *rule.excludes):
            assert {term.partition("=")[0] for term in terms.split("+")} <= named, rule


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "--metrics-address", "::1", "a.py"], "--metrics-address needs --metrics-port"),
        (["run", "--log-max-mb", "5", "a.py"], "--log-max-mb needs --log-dir"),
        (["run", "--any-machine", "a.py"], "--any-machine needs --plan"),
        (["run", "--no-python", "--python", "/bin/sh", "a"], "--no-python and --python exclude each other"),
        (["run", "--multi-task-manager", "none", "--memory-policy", "interleave", "a.py"], "memory is not bound then"),
        (["run", "--port", "4000", "a.py"], "--port needs {port}"),
        (["batch", "--input", "a", "--output", "b", "--on-failure", "stop", "a.py"], "--on-failure is not for batch"),
        (["topology", "--save", "x.tar.gz", "--format", "json"], "--save and --format exclude each other"),
        (["tune", "--live", "a.py"], "--live is not for tune"),
        (["top", "--once", "--interval", "3"], "--interval and --once exclude each other"),
    ],
)
def test_what_would_be_ignored_is_refused_with_the_reason(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert told in capsys.readouterr().err
