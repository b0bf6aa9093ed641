"""The options of `ipexlaunch batch` beyond those of `run`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

STALL_TIMEOUT_S = 600.0
"""Where --stall-timeout is not given: a batch job must not hang for ever on a worker that was stopped."""

_OPTIONS = (
    click.option("--input", "input_file", required=True, metavar="FILE", help="JSON lines, one item each."),
    click.option("--output", "output_file", required=True, metavar="FILE", help="JSON lines, one result each."),
    click.option("--id-field", metavar="KEY", help="Key of an item's id  [default: the number of its line]."),
    click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True, help="Items of a batch."),
    click.option(
        "--batch-tokens",
        type=click.IntRange(min=1),
        metavar="N",
        help="Items times the size of the longest of them in a batch, at most.",
    ),
    click.option(
        "--look-ahead",
        type=click.IntRange(min=1),
        default=4096,
        show_default=True,
        metavar="ITEMS",
        help="Items that are put in order of length together.",
    ),
    click.option(
        "--attempts",
        type=click.IntRange(min=1),
        default=2,
        show_default=True,
        help="How often workers may fail on a batch before it is cut in two, or given up where it is one item.",
    ),
    click.option("--resume", is_flag=True, help="Go on where a former job of the same kind ended."),
    click.option("--overwrite", is_flag=True, help="Begin anew though there is an output already."),
    click.option("--rebuild", is_flag=True, help="With --resume: make a lost or damaged ledger from the output."),
)


def batch_options(function: Function) -> Function:
    """Add the options of the job."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
