"""What the texts of options may mean: times, shares, sizes, amounts, counts, words with a form of their own.

Each type of a number refuses what can not be meant (NaN, infinity, another unit), with an example of what can.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from ipexlaunch.cli.options.complete_words import BY_METAVAR
from ipexlaunch.errors import RequestError
from ipexlaunch.launch.throughput_regex import LineRule, read_rule
from ipexlaunch.plan.notation import parse_bytes

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]  # older ones are not generic at run time
else:
    ParamType = click.ParamType

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_DIGITS = r"(\d+(?:\.\d*)?|\.\d+)"
_PLAIN = re.compile(rf"[+-]?{_DIGITS}(?:e[+-]?\d{{1,3}})?", re.IGNORECASE)
_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
_DURATION = re.compile("".join(f"(?:{_DIGITS} *{unit})? *" for unit in _UNITS_S), re.IGNORECASE)

LONGEST_S = 10 * 365 * 86400.0
"""What is longer is a slip of the fingers."""

LARGEST_COUNT = 10**9

LARGEST_AMOUNT = 1e12

DEFAULT_RESTARTS = 3


def _amount(text: str) -> float | None:
    return float(text) if _PLAIN.fullmatch(text) else None


def _seconds(text: str) -> float | None:
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        return _amount(text)
    pairs = zip(match.groups(), _UNITS_S.values(), strict=True)
    return math.fsum(float(amount) * unit for amount, unit in pairs if amount)


def _milliseconds(text: str) -> float | None:
    plain, seconds = _amount(text), _seconds(text)
    return plain if plain is not None or seconds is None else seconds * 1000


def _share(text: str) -> float | None:
    found = _amount(text.removesuffix("%").rstrip())
    return found / 100 if found is not None and text.endswith("%") else found


def _megabytes(text: str) -> float | None:
    plain = _amount(text)
    if plain is not None:
        return plain
    try:
        return parse_bytes(text, "") / 1e6
    except RequestError:
        return None


def _count(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?\d{1,12}", text) else None


class Number(ParamType):
    """A number of one kind, in a range."""

    def __init__(
        self,
        name: str,
        read: Callable[[str], float | None],
        lowest: float,
        highest: float,
        example: str,
        *,
        above: bool = False,
    ) -> None:
        """Say what is read.

        Args:
            name: what the number is, for messages.
            read: the number that a text means; None where it means none.
            lowest: the smallest that is taken.
            highest: the largest.
            example: of texts that are taken, for messages.
            above: whether the lowest itself is refused.
        """
        self.name, self.lowest, self.highest, self.above, self.example = name, lowest, highest, above, example
        self.read = read

    def at_least(self, lowest: float) -> Number:
        """The same for an option of which smaller values make no sense.

        Args:
            lowest: in the type's unit.
        """
        return Number(self.name, self.read, lowest, self.highest, self.example)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What stands for the number in --help.

        Args:
            param: the option.
            ctx: of the command; older clicks give none.
        """
        return "N" if self.read is _count else self.name.upper()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number that a text means; a default that is a number already is checked like it.

        Args:
            value: of the command line, of a variable, or a default.
            param: the option.
            ctx: of the command.
        """
        text = str(value).strip()
        found = self.read(text) if text.isascii() else None
        if found is None:
            self.fail(f"{text!r} is no {self.name}; write e.g. {self.example}", param, ctx)
        if not self.lowest <= found <= self.highest or (self.above and found == self.lowest):
            bounds = f"{'above' if self.above else 'from'} {self.lowest:.12g} to {self.highest:.12g}"
            self.fail(f"{text} is out of range, which is {bounds}; write e.g. {self.example}", param, ctx)
        return found


class Size(ParamType):
    """An amount of memory with its unit, as bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bytes of "24GiB".

        Args:
            value: of the command line.
            param: the option.
            ctx: of the command.

        Raises:
            RequestError: it is no size.
        """
        return value if isinstance(value, int) else parse_bytes(value, param.opts[0] if param is not None else "")


_TIMES = "90, 90s, 5m or 1h30m"

SECONDS = Number("time", _seconds, 0, LONGEST_S, _TIMES, above=True)
"""A time that must pass."""

SECONDS_FROM_0 = Number("time", _seconds, 0, LONGEST_S, f"0, {_TIMES}")
"""A time, or 0 for at once or never, as the option says."""

MILLISECONDS = Number("time", _milliseconds, 0, 1000 * LONGEST_S, "100, 100ms or 0.1s", above=True)
"""A time of which a plain number counts milliseconds."""

SHARE = Number("share", _share, 0, 1, "0.95 or 95%")

SIZE = Size()

MEGABYTES = Number("size", _megabytes, 0, LARGEST_AMOUNT, "64, 64MB or 1GiB", above=True)
"""A size of which a plain number counts megabytes."""

COSINE = Number("cosine", _amount, 0, 1, "0.99", above=True)

AMOUNT = Number("number", _amount, 0, LARGEST_AMOUNT, "250 or 0.5", above=True)

COUNT = Number("whole number", _count, 1, LARGEST_COUNT, "1 or 32")

COUNT_FROM_0 = Number("whole number", _count, 0, LARGEST_COUNT, "0 or 3")

WHOLE_NUMBER = Number("whole number", _count, -LARGEST_COUNT, LARGEST_COUNT, "4")
"""One whose range the planner knows, with the words of the tools that came before (0, -1)."""

SEED = Number("whole number", _count, -LARGEST_AMOUNT, LARGEST_AMOUNT, "0 or 1234")

PORT = Number("port", _count, 1, 65535, "29500")

PORT_OR_FREE = Number("port", _count, 0, 65535, "9400, or 0 for one that is free")


def line_rule(_context: click.Context, _option: click.Parameter, text: str | None) -> LineRule | None:
    """The rule of --throughput-regex; an expression that is none is refused before anything else is looked at."""
    return None if text is None else read_rule(text)


def name_prefix(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """The value of --log-file-prefix, refused where it is a path."""
    if "/" in text:
        raise click.UsageError(f"--log-file-prefix is the beginning of a name, not a path: {text!r}; use --log-dir")
    return text


def failure_words(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """The words of --on-failure, refused where they are none."""
    on_failure(text)
    return text


def on_failure(text: str) -> tuple[Literal["stop", "continue", "restart"], int]:
    """What a failure does, and how often a worker is restarted.

    Raises:
        UsageError: it is none of the words.
    """
    word, colon, number = text.partition(":")
    if word == "restart" and (not colon or (re.fullmatch("[0-9]{1,9}", number) and int(number) > 0)):
        return "restart", int(number) if colon else DEFAULT_RESTARTS
    if text in ("stop", "continue"):
        return ("stop" if text == "stop" else "continue"), 0
    raise click.UsageError(f"--on-failure takes stop, continue, restart or restart:N (N from 1), not {text!r}")


def workers_python() -> str:
    """What --python is where it is not given: the active environment's interpreter, else the launcher's own."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        python = os.path.join(os.environ.get(variable, ""), "bin", "python")
        if os.environ.get(variable) and os.access(python, os.X_OK):
            return python
    return sys.executable


def seconds(name: str, text: str, default: float | None = None, *, zero: bool = False) -> Callable[[Any], Any]:
    """An option that takes a time.

    Args:
        name: of the option.
        text: for --help.
        default: None for none; shown but for 0.
        zero: whether 0 is taken.
    """
    kind = SECONDS_FROM_0 if zero else SECONDS
    return click.option(name, type=kind, default=default, show_default=bool(default), metavar="SECONDS", help=text)


def valued(
    name: str,
    text: str,
    kind: ParamType | Sequence[str] | None = None,
    default: object = None,
    *,
    metavar: str | None = None,
    dest: str | None = None,
) -> Callable[[Any], Any]:
    """An option that takes a value, and shows its default, but for one that stands for nothing (0, "").

    Args:
        name: of the option.
        text: for --help.
        kind: the texts or numbers that are taken; None for any text.
        default: None for none.
        metavar: what stands for the value in --help.
        dest: the keyword argument; None for the name's own.
    """
    names = (name,) if dest is None else (name, dest)
    values = kind if kind is None or isinstance(kind, click.ParamType) else click.Choice(kind)
    shown = bool(default)
    return click.option(
        *names, type=values, default=default, show_default=shown, metavar=metavar, help=text,
        shell_complete=BY_METAVAR.get(metavar or ""),
    )  # fmt: skip


def flag(name: str, text: str) -> Callable[[Any], Any]:
    """An option that is given or not.

    Args:
        name: of the option.
        text: for --help.
    """
    return click.option(name, is_flag=True, help=text)


def adding(*options: Callable[[Any], Any]) -> Callable[[Decorated], Decorated]:
    """What adds options to a command.

    Args:
        options: in the order of --help.
    """

    def add(function: Decorated) -> Decorated:
        for option in reversed(options):
            function = option(function)
        return function

    return add
