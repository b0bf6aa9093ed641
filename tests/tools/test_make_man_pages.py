"""Every command has a manual page with every spelling of each option, and groff reads it without a complaint."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from ipexlaunch.cli import COMMANDS
from ipexlaunch.cli.serve_command import SUBCOMMANDS as SERVE_SUBCOMMANDS
from ipexlaunch.cli.shards_command import SUBCOMMANDS
from tests.tools.load_tool import load_tool

PAGES: dict[str, str] = load_tool("make_man_pages").man_pages()


def words(page: str) -> str:
    return page.replace(r"\-", "-").replace(r"\e", "\\")


def command_of(name: str) -> click.Command:
    command: click.Command = getattr(importlib.import_module(f"ipexlaunch.cli.{COMMANDS[name][0]}"), f"{name}_command")
    return command


def test_the_program_and_every_command_has_a_page() -> None:
    below = {f"ipexlaunch-shards-{name}.1" for name in SUBCOMMANDS}
    below |= {f"ipexlaunch-serve-{name}.1" for name in SERVE_SUBCOMMANDS}
    assert set(PAGES) == {"ipexlaunch.1", *(f"ipexlaunch-{name}.1" for name in COMMANDS), *below}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_spelling_of_every_option_is_in_the_page(name: str) -> None:
    tags = "".join(line for line in words(PAGES[f"ipexlaunch-{name}.1"]).splitlines() if line.startswith(r"\fB-"))
    for option in command_of(name).params:
        if isinstance(option, click.Option):
            assert [word for word in (*option.opts, *option.secondary_opts) if word not in tags] == []


@pytest.mark.parametrize("name", PAGES)
def test_no_heading_of_options_stands_above_nothing(name: str) -> None:
    assert re.findall(r"^\.SS .*\n(?=\.S[SH])", PAGES[name], re.MULTILINE) == []


def test_the_page_of_the_program_has_every_exit_code_of_the_documentation() -> None:
    status = PAGES["ipexlaunch.1"].partition(".SH EXIT STATUS")[2].partition(".SH ")[0]
    assert [code for code in ("0", "1", "2", "3", "4", "75", "124", "126, 127") if rf"\fB{code}\fR" not in status] == []
    assert "](" not in status
    assert "`" not in status


@pytest.mark.parametrize("name", PAGES)
def test_groff_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    (tmp_path / name).write_text(PAGES[name], encoding="utf-8")
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", tmp_path / name], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""
