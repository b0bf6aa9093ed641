"""What stands at the other end of a stream: how wide it is, whether it wants colour, which characters it can show."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from ipexlaunch.documents.secret_values import mask_text
from ipexlaunch.documents.visible_text import ascii_text, visible, visible_drawing, whole_number

WIDTH = 100
"""Columns where the stream is no terminal."""

WIDEST = 10_000
"""No terminal is wider; COLUMNS may say anything."""


def width_of(stream: TextIO, environment: Mapping[str, str] = os.environ) -> int:
    """Columns: COLUMNS where it is set, else the terminal's own, else 100.

    Args:
        stream: standard output or error.
        environment: variables.
    """
    wanted = environment.get("COLUMNS", "")
    columns = whole_number(wanted)
    if columns:
        return min(columns, WIDEST)
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH
    except (OSError, ValueError):
        return WIDTH


def wants_color(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether it is a terminal, knows colours, and its user has not said NO_COLOR.

    Args:
        stream: standard output or error.
        environment: variables.

    Source: https://no-color.org (present and not empty).
    """
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def moves_cursor(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether it is a terminal on which a picture can be redrawn.

    Args:
        stream: standard output or error.
        environment: variables.
    """
    return stream.isatty() and environment.get("TERM", "dumb") not in ("dumb", "unknown")


def spoken(text: str) -> str:
    """A message as it may be said: on one line, without secrets, its control characters as escapes.

    Args:
        text: which may quote what was typed, a document or a program.
    """
    return visible(mask_text(text))


def tell(text: str) -> None:
    """Say a line to the user, on standard error.

    Args:
        text: see `spoken`.
    """
    print(f"ipexlaunch: {spoken(text)}", file=sys.stderr, flush=True)


def no_key(seconds: float) -> str:
    """Wait; nobody is there who could press one.

    Args:
        seconds: how long.
    """
    time.sleep(seconds)
    return ""


@contextmanager
def single_keys(stream: TextIO) -> Iterator[Callable[[float], str]]:
    """Gives a function that waits, and returns the key that was pressed meanwhile; "" for none.

    Within the context a terminal gives each key at once and does not show it.

    Args:
        stream: standard input; where it is no terminal, there are no keys.
    """
    if not stream.isatty():
        yield no_key
        return
    descriptor = stream.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor, termios.TCSADRAIN)

    def key(seconds: float) -> str:
        pressed, _, _ = select.select([descriptor], [], [], seconds)
        return os.read(descriptor, 1).decode("latin-1") if pressed else ""

    try:
        yield key
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def showable(drawing: str, stream: TextIO) -> str:
    """The drawing, in ASCII where the stream's encoding has no characters for its lines.

    Control characters that are not its own colours are shown as escapes.

    Args:
        drawing: a table, a tree or a drawing of a machine.
        stream: standard output or error.
    """
    drawing = visible_drawing(drawing)
    try:
        drawing.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return ascii_text(drawing)
    return drawing


def show_on_stderr(draw: Callable[[int, bool], str]) -> None:
    """Show a table on standard error.

    Args:
        draw: makes it for so many columns, with colours or without.
    """
    table = draw(width_of(sys.stderr), wants_color(sys.stderr))
    sys.stderr.write(showable(table, sys.stderr))
