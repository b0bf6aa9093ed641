from __future__ import annotations

import io
import os
import pty
import sys
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from ipexlaunch.cli.terminal import WIDTH, showable, wants_color, width_of


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    """A terminal of 77 columns."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 77))  # type: ignore[attr-defined,unused-ignore]  # Python 3.11
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        yield stream
    os.close(ours)


needs_window_size = pytest.mark.skipif(sys.version_info < (3, 11), reason="termios.tcsetwinsize is of Python 3.11")


@needs_window_size
def test_the_width_of_a_terminal_is_its_own(terminal: TextIO) -> None:
    assert width_of(terminal, {}) == 77


@needs_window_size
def test_columns_is_stronger_than_the_terminal(terminal: TextIO) -> None:
    assert width_of(terminal, {"COLUMNS": "132"}) == 132


@pytest.mark.parametrize("columns", ["", "0", "wide", "-3"])
def test_a_file_is_as_wide_as_we_like_whatever_stands_in_columns(columns: str) -> None:
    assert width_of(io.StringIO(), {"COLUMNS": columns}) == WIDTH


@needs_window_size
@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm"}, True),
    ],
)
def test_colour_is_for_terminals_whose_user_has_not_refused_it(
    terminal: TextIO, environment: dict[str, str], wanted: bool
) -> None:
    assert wants_color(terminal, environment) is wanted


def test_a_file_gets_no_colour() -> None:
    assert not wants_color(io.StringIO(), {})


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8", "┌─ 128 GiB ─┐"), ("latin-1", "+- 128 GiB -+"), ("ascii", "+- 128 GiB -+")]
)
def test_lines_are_drawn_with_what_the_encoding_has(encoding: str, shown: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert showable("┌─ 128 GiB ─┐", stream) == shown
