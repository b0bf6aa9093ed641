"""The options of `ipexlaunch batch` beyond those of `run`, and what they say of the input and the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ipexlaunch.batch.output.output_rules import PARQUET_SUFFIXES, STDOUT, UNWRITTEN_SUFFIXES, OutputRules
from ipexlaunch.cli.options.batch_input import BYTES_PER_TOKEN, LOOK_AHEAD
from ipexlaunch.cli.options.model_options import MODEL_OPTIONS
from ipexlaunch.cli.options.option_types import AMOUNT, COUNT, MEGABYTES, MILLISECONDS, SECONDS
from ipexlaunch.documents.write_file import descriptor_of, is_stream
from ipexlaunch.errors import RequestError

Function = TypeVar("Function", bound=Callable[..., Any])


def _input(*, required: bool) -> Callable[[Function], Function]:
    return click.option(
        "--input",
        "input_file",
        required=required,
        multiple=True,
        metavar="FILE",
        help="The items; - for standard input. May be given several times, and be a quoted pattern: 'part-*.jsonl'.",
    )


def _delimiter(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    found = {"tab": "\t", "\\t": "\t"}.get(text or "", text)
    if found is not None and (len(found) != 1 or found in '\r\n"'):
        raise click.BadParameter(f"{text!r} is not one character that can part fields; give e.g. ';', '|' or tab")
    return found


def _quote(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    found = "" if text == "none" else text
    if text != "none" and found is not None and (len(found) != 1 or found in "\r\n\t,; "):
        raise click.BadParameter(f"{text!r} is not one character that can stand around fields; give one, or none")
    return found


_ITEMS = (
    click.option(
        "--format",
        "input_format",
        type=click.Choice(["auto", "jsonl", "text", "csv", "tsv", "parquet", "openai"]),
        default="auto",
        show_default=True,
        help="Of the input; auto goes by the end of its name, - is jsonl; openai is a file for OpenAI's batch API.",
    ),
    click.option(
        "--delimiter",
        metavar="CHAR",
        callback=_delimiter,
        help="Between the fields of csv and tsv, or tab  [default: a comma, a tab; or a first line sep=CHAR].",
    ),
    click.option(
        "--quote",
        metavar="CHAR|none",
        callback=_quote,
        help='Around fields of csv and tsv that hold delimiters; none where quotes mean nothing  [default: "].',
    ),
    click.option("--id-field", metavar="NAME", help="Field of an item's id  [default: the number of its line]."),
    click.option("--text-field", metavar="NAME", help="Field that is given to the program  [default: the whole item]."),
    click.option("--tokens-field", metavar="NAME", help="Field with an item's length  [default: its bytes]."),
    click.option(
        "--max-line-mb",
        type=MEGABYTES,
        default=64.0,
        show_default=True,
        metavar="MB",
        help="A longer line is a bad one.",
    ),
    click.option("--batch-size", type=COUNT, default=32, show_default=True, help="Items of a batch."),
    click.option(
        "--batch-tokens",
        type=COUNT,
        metavar="N",
        help=f"Items times the longest of them in a batch, at most; without --tokens-field {BYTES_PER_TOKEN} bytes are "
        "taken for a token.",
    ),
    click.option(
        "--look-ahead",
        type=COUNT,
        metavar="ITEMS",
        help=f"Items that are put in order of length together  [default: {LOOK_AHEAD}].",
    ),
    click.option("--no-progress", is_flag=True, help="Show no progress, neither a bar nor a line every 10 s."),
)
"""Of every command that gives workers items."""

_OWN = (
    click.option("--output", "output_file", required=True, metavar="FILE", help="The results; - for standard output."),
    click.option(
        "--output-format",
        type=click.Choice(["auto", "jsonl", "parquet"]),
        default="auto",
        show_default=True,
        help="Of the output; auto goes by the end of its name.",
    ),
    click.option(
        "--errors",
        "errors_file",
        metavar="FILE",
        help="With --format openai: rows of requests that could not be answered; else they stand in OUTPUT.",
    ),
    click.option("--keep-order", is_flag=True, help="Write results in the order of the input, not as they finish."),
    click.option(
        "--on-bad-line",
        type=click.Choice(["stop", "dead-letter"]),
        default="stop",
        show_default=True,
        help="What a line that cannot be read does: read no further, or go to OUTPUT.dead.jsonl.",
    ),
    click.option(
        "--attempts",
        type=COUNT,
        default=2,
        show_default=True,
        help="How often workers may fail on a batch before it is cut in two, or given up where it is one item.",
    ),
    click.option("--resume", is_flag=True, help="Go on where a former job of the same kind ended."),
    click.option("--overwrite", is_flag=True, help="Begin anew though there is an output already."),
    click.option("--rebuild", is_flag=True, help="With --resume: make a lost or damaged ledger from the output."),
    click.option(
        "--retry-dead",
        is_flag=True,
        help="Try again what a former job gave up, with this program or a mended one, and nothing else.",
    ),
    click.option("--replay", metavar="DIR", help="Repeat the job that --run-dir kept in DIR, with another --output."),
)


_MODEL = (
    click.option(
        "--model",
        metavar="DIR|random:NAME",
        help="Run this model with the built-in worker instead of a PROGRAM: a transformers directory.",
    ),
    click.option(
        "--input-tokens",
        type=COUNT,
        default=256,
        show_default=True,
        help="With --model: longer texts are cut to so many tokens.",
    ),
)


def batch_options(function: Function) -> Function:
    """Add the options of the job, and those of a model."""
    for option in reversed((_input(required=False), *_ITEMS, *_OWN, *_MODEL, *MODEL_OPTIONS)):
        function = option(function)
    return function


def output_rules(options: dict[str, Any]) -> OutputRules:
    """Where the options say that results go.

    Raises:
        RequestError: options that exclude each other.
    """
    path, form = options["output_file"], options["output_format"]
    path = STDOUT if descriptor_of(path) == 1 else path
    streamed = path == STDOUT or is_stream(path)
    parquet = form == "parquet" or (form == "auto" and path.lower().endswith(PARQUET_SUFFIXES))
    if form == "auto" and not streamed and path.lower().endswith(UNWRITTEN_SUFFIXES):
        raise RequestError(
            f"write {path}",
            "results are JSON lines or Parquet",
            "give --output FILE.jsonl or FILE.parquet, or --output-format jsonl for that name",
        )
    if streamed and parquet:
        where = "standard output" if path == STDOUT else path
        raise RequestError(f"write Parquet to {where}", "its index is at its end", "give --output FILE.parquet")
    goes_on = options["resume"] or options["retry_dead"]
    for name, piped in (("output", streamed), ("input", "-" in options["input_file"])):
        if goes_on and piped:
            raise RequestError(f"go on with a job whose {name} is a pipe", "what it gave is gone", "use files")
    openai = options["input_format"] == "openai"
    if openai:
        _check_openai(options, path if streamed else "", parquet)
    return OutputRules(
        path=path, keep_order=options["keep_order"], parquet=parquet, openai=openai, errors=options["errors_file"]
    )


def _check_openai(options: dict[str, Any], stream: str, parquet: bool) -> None:
    """Answers of OpenAI's batch API are a model's, and JSON lines.

    Args:
        options: the command's keyword arguments.
        stream: the output, where it is a pipe or a device; else "".
        parquet: whether the output is Parquet.
    """
    if options["model"] is None:
        raise click.UsageError("--format openai needs --model, which answers the requests")
    if stream or parquet:
        where = "standard output" if stream == STDOUT else stream or "Parquet"
        raise RequestError(
            f"write answers to {where}", "OpenAI's batch files are JSON lines", "give --output FILE.jsonl"
        )


_LOADGEN = (
    click.option("--scenario", type=click.Choice(["Offline", "Server"]), default="Offline", show_default=True),
    click.option(
        "--qps",
        type=AMOUNT,
        required=True,
        metavar="RATE",
        help="Offline: samples a second that you expect, which say how many are issued; Server: queries a second.",
    ),
    click.option(
        "--min-duration",
        type=SECONDS,
        default=600.0,
        show_default=True,
        metavar="SECONDS",
        help="Of the test; 600 s is what MLPerf asks for.",
    ),
    click.option("--min-queries", type=COUNT, help="At least  [default: Offline 1, Server 100]."),
    click.option(
        "--target-latency-ms",
        type=MILLISECONDS,
        default=100.0,
        show_default=True,
        help="Server: 99 % of the queries must be answered within it.",
    ),
    click.option("--loadgen-log-dir", metavar="DIR", help="Where LoadGen writes its logs  [default: a new one]."),
)


def loadgen_options(function: Function) -> Function:
    """Add the options of a test by LoadGen, and those of its items and its model."""
    for option in reversed((*_LOADGEN, _input(required=True), *_ITEMS, *_MODEL, *MODEL_OPTIONS)):
        function = option(function)
    return function
