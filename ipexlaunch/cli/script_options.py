"""The options of `run` for scripts that know nothing of ipexlaunch, and our program that then runs the script."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ipexlaunch.launch import Job

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--count-calls", is_flag=True, help="A rate for a script that counts nothing: count the calls of its model."
    ),
    click.option(
        "--warmup-calls",
        type=click.IntRange(min=0),
        metavar="N",
        help="With --count-calls: calls of the model before the common start  [default: 1].",
    ),
)


def script_options(function: Decorated) -> Decorated:
    """Add these options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def script_runner(job: Job, options: dict[str, Any]) -> tuple[str, ...]:
    """The words of workers/run_script.py, by its path, that stand before the program; () where nothing is asked of it.

    Args:
        job: the program.
        options: those of `run`.

    Raises:
        UsageError: an option needs a Python program, needs another option, or excludes one.
    """
    if not options["count_calls"]:
        if options["warmup_calls"] is not None:
            raise click.UsageError("--warmup-calls says how --count-calls counts; give that too")
        return ()
    if job.kind == "executable":
        raise click.UsageError("--count-calls watches Python programs; for others there is --throughput-regex")
    if options["throughput_regex"] is not None:
        raise click.UsageError("--count-calls and --throughput-regex would both count; give one of them")
    from ipexlaunch.engines.script_options import DEFAULT_WARMUP_CALLS, ScriptOptions

    warmup_calls = options["warmup_calls"]
    asked = ScriptOptions(count_calls=True, warmup_calls=DEFAULT_WARMUP_CALLS if warmup_calls is None else warmup_calls)
    return (RUN_SCRIPT, *asked.words())


RUN_SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "workers", "run_script.py")
