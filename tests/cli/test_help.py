"""--help: what everybody uses first, each option under a heading, readable at 40 columns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import pytest

from ipexlaunch.cli import COMMANDS
from ipexlaunch.cli.main import ipexlaunch
from ipexlaunch.cli.options.help_groups import EVERYBODY, EXAMPLES, HEADINGS, OTHERS
from ipexlaunch.cli.serve_command import SUBCOMMANDS as SERVE_SUBCOMMANDS
from ipexlaunch.cli.shards_command import SUBCOMMANDS
from tests.cli.option_states import command_of

ALL_COMMANDS = [
    *COMMANDS,
    *(f"shards {name}" for name in SUBCOMMANDS),
    *(f"serve {name}" for name in SERVE_SUBCOMMANDS),
]


def run(*words: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": str(columns)}
    return subprocess.run([sys.executable, "-m", "ipexlaunch", *words], capture_output=True, text=True, env=environment)


@cache
def page(command: str, columns: int = 80) -> str:
    done = run(*command.split(), "--help", columns=columns)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("run", "--ninstances"), ("run", "--reserve-cores"), ("run", "--run-dir"), ("batch", "--input"),
        ("batch", "--output"), ("batch", "--resume"), ("batch", "--ninstances"), ("bench", "--model"),
        ("tune", "--budget"),
    ],
)  # fmt: skip
def test_what_everybody_uses_stands_in_the_first_40_lines(command: str, option: str) -> None:
    assert option in "\n".join(page(command).splitlines()[:40]).split()


@pytest.mark.parametrize("command", EVERYBODY)
def test_every_option_stands_under_a_heading_and_once(command: str) -> None:
    shown = page(command, columns=100)
    assert f"{OTHERS}:" not in shown
    for option in command_of(command).params:
        if isinstance(option, click.Option) and not option.hidden:
            assert (
                len(
                    re.findall(
                        rf"^  (?:-\w, )?{option.opts[-1 if len(option.opts[0]) == 2 else 0]}(?![\w-])", shown, re.M
                    )
                )
                == 1
            )


def test_every_heading_lists_only_options_that_there_are() -> None:
    names = {parameter.name for command in ALL_COMMANDS for parameter in command_of(command).params}
    listed = " ".join([*HEADINGS.values(), *EVERYBODY.values()]).split()
    assert not set(listed) - names
    within = " ".join(HEADINGS.values()).split()
    assert len(within) - len(set(within)) == listed_twice(within)


def listed_twice(names: list[str]) -> int:
    """batch_size is about the input of `batch` and the model of `bench`."""
    return names.count("batch_size") - 1


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_no_line_is_wider_than_40_columns_but_for_examples_and_long_choices(command: str) -> None:
    text = page(command, columns=40).partition("Examples:")[0]
    assert not [line for line in text.splitlines() if len(line) > 40 and " " in line.strip()]


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_ranges_and_types_are_words_of_users(command: str) -> None:
    assert not re.search(r"RANGE|INTEGER|FLOAT|WHOLE NUMBER", page(command))


@pytest.mark.parametrize("command", EXAMPLES)
def test_the_options_of_the_examples_are_there(command: str) -> None:
    below = "make run" if command == "shards" else ""
    others = [command_of("run"), *(command_of(f"{command} {word}") for word in below.split())]
    every = [*command_of(command).params, *(parameter for other in others for parameter in other.params)]
    known = {name for parameter in every for name in parameter.opts}
    shown = page(command, columns=100)
    for example in EXAMPLES[command]:
        assert f"  {example}\n" in shown
        ours = re.split(r" (?:script|app)\.py| llama-server -m", example)[0]
        assert set(re.findall(r"(?<=\s)--[\w-]+", ours)) <= known | {"--help"}


def test_help_is_a_word_too() -> None:
    assert run("help", "plan").stdout == page("plan")
    assert run("help").stdout == run("--help").stdout


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--ninst", "--ninstances"), ("--ninstance", "--ninstances"), ("--reserve-core", "--reserve-cores"),
        ("--nope", ""), ("--x", ""),
    ],
)  # fmt: skip
def test_only_an_option_that_is_close_is_suggested(typed: str, meant: str) -> None:
    done = run(typed, "2", "script.py")
    assert done.returncode == 2
    suggested = f"; did you mean {meant}?" if meant else ""
    assert done.stderr == f"ipexlaunch: no option '{typed}'{suggested} (try 'ipexlaunch run --help')\n"


@pytest.mark.parametrize(
    ("command", "typed", "meant"),
    [("bench", "--seconds", "--duration"), ("dtypes", "--duration", "--seconds"), ("plan", "--seconds", "")],
)
def test_an_option_that_another_command_calls_otherwise_is_suggested(command: str, typed: str, meant: str) -> None:
    done = run(command, typed, "2")
    suggested = f"; did you mean {meant}?" if meant else ""
    assert done.stderr == f"ipexlaunch: no option '{typed}'{suggested} (try 'ipexlaunch {command} --help')\n"


def test_an_option_behind_the_program_is_said_to_go_there(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text("import sys; print(sys.argv[1:])", encoding="utf-8")
    done = run("--ninstances", "1", str(script), "--run_dir=x", "--ninstances", "4", "--batch-size", "8")
    assert "['--run_dir=x', '--ninstances', '4', '--batch-size', '8']" in done.stdout
    hints = [line for line in done.stderr.splitlines() if "behind which it stands" in line]
    assert [hint.split()[1] for hint in hints] == ["--run-dir", "--ninstances"]


def test_a_plan_is_read_from_standard_input(tmp_path: Path) -> None:
    plan = run("plan", "--ninstances", "1", "--format", "yaml").stdout
    for words, expected in ((("--plan", "-", "--format", "yaml"), plan), (("--check", "-"), "")):
        done = subprocess.run(
            [sys.executable, "-m", "ipexlaunch", "plan", *words], input=plan, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, expected), done.stderr
    broken = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "plan", "--check", "-"], input="schema: 7", capture_output=True, text=True
    )
    assert broken.returncode == 2
    assert "/dev/stdin" in broken.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [2, 3, 4])
def test_the_last_line_says_that_an_exit_code_is_the_programs(tmp_path: Path, code: int) -> None:
    script = tmp_path / "work.py"
    script.write_text(f"import sys; sys.exit({code})", encoding="utf-8")
    done = run("--ninstances", "1", str(script))
    assert done.returncode == code
    assert done.stderr.splitlines()[-1] == f"exit code {code} is that of instance 0's program"


def test_a_name_on_a_hub_is_told_how_to_fetch_it() -> None:
    done = run("bench", "--model", "sentence-transformers/all-MiniLM-L6-v2")
    assert done.returncode == 2
    assert "nothing is downloaded; fetch it first: hf download sentence-transformers/all-MiniLM-L6-v2" in done.stderr


def test_the_machines_that_come_with_it_are_listed() -> None:
    done = run("topology", "--list")
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert "xeon-spr-2s-4n-14c-2t" in names
    assert all(len(line.split()) > 3 for line in done.stdout.splitlines())
    assert run("topology", "--topology", names[0]).returncode == 0


def test_every_command_is_in_the_list_of_commands() -> None:
    shown = run("--help").stdout
    assert all(f"\n  {name} " in shown for name in ipexlaunch.list_commands(click.Context(ipexlaunch)))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("shards",), "give a command: make, run, submit, status, merge (try 'ipexlaunch shards --help')"),
        (
            ("shards", "frob"),
            "no command 'frob'; there are make, run, submit, status, merge (try 'ipexlaunch shards --help')",
        ),
        (
            ("batch", "--plan", "-", "--input", "-", "--output", "x.jsonl", "x.py"),
            "--input - and --plan - both read standard input; give one of them the path of a file "
            "(try 'ipexlaunch batch --help')",
        ),
    ],
)
def test_a_mistake_is_one_line(typed: tuple[str, ...], said: str) -> None:
    done = run(*typed)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"ipexlaunch: {said}\n")
