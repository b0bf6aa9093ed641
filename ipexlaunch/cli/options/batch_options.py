"""The options of `ipexlaunch batch` and `loadgen` beyond those of every launch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import click

from ipexlaunch.cli.options import LaunchOptions, ModelOptions, names_of
from ipexlaunch.cli.options.complete_words import complete_files
from ipexlaunch.cli.options.model_options import MODEL_OPTIONS
from ipexlaunch.cli.options.option_types import AMOUNT, COUNT, MEGABYTES, MILLISECONDS, adding, flag, seconds, valued

LOOK_AHEAD = 4096

BYTES_PER_TOKEN = 4
"""Of English text: 4.2 with the tokenizer of all-MiniLM-L6-v2 on examples/sentences.txt."""


@dataclass(frozen=True, kw_only=True)
class ItemOptions:
    """What the items of a batch job are, and how they are put together."""

    input_file: tuple[str, ...]
    input_format: str
    delimiter: str | None
    quote: str | None
    id_field: str | None
    text_field: str | None
    tokens_field: str | None
    max_line_mb: float
    batch_size: int
    batch_tokens: int | None
    look_ahead: int | None


@dataclass(frozen=True, kw_only=True)
class ResultOptions:
    """What becomes of the items, but for where."""

    keep_order: bool
    on_bad_line: str
    attempts: int


@dataclass(frozen=True, kw_only=True)
class FedOptions(LaunchOptions, ItemOptions, ModelOptions):
    """Those of the commands that give workers items."""

    stall_timeout: float
    no_progress: bool


@dataclass(frozen=True, kw_only=True)
class BatchOptions(FedOptions, ResultOptions):
    """Those of `batch`."""

    output_file: str
    output_format: str
    errors_file: str | None
    resume: bool
    overwrite: bool
    rebuild: bool
    retry_dead: bool
    take_over: bool
    drain_on_term: bool


@dataclass(frozen=True, kw_only=True)
class LoadgenOptions(FedOptions):
    """Those of `loadgen`."""

    scenario: Literal["Offline", "Server"]
    qps: float
    min_duration: float
    min_queries: int | None
    target_latency_ms: float
    loadgen_log_dir: str | None


def _input(*, required: bool) -> Callable[[Any], Any]:
    return click.option(
        "--input",
        "input_file",
        required=required,
        multiple=True,
        metavar="FILE",
        shell_complete=complete_files,
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
    valued(
        "--format",
        "Of the input; auto goes by the end of its name, - is jsonl; openai is a file for OpenAI's batch API.",
        ("auto", "jsonl", "text", "csv", "tsv", "parquet", "openai"),
        "auto",
        dest="input_format",
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
    valued("--id-field", "Field of an item's id  [default: the number of its line].", metavar="NAME"),
    valued("--text-field", "Field that is given to the program  [default: the whole item].", metavar="NAME"),
    valued("--tokens-field", "Field with an item's length  [default: its bytes].", metavar="NAME"),
    valued("--max-line-mb", "A longer line is a bad one.", MEGABYTES, 64.0, metavar="MB"),
    valued("--batch-size", "Items of a batch.", COUNT, 32),
    valued(
        "--batch-tokens",
        f"Items times the longest of them in a batch, at most; without --tokens-field {BYTES_PER_TOKEN} bytes are "
        "taken for a token.",
        COUNT,
        metavar="N",
    ),
    valued(
        "--look-ahead",
        f"Items that are put in order of length together  [default: {LOOK_AHEAD}].",
        COUNT,
        metavar="ITEMS",
    ),
    flag("--no-progress", "Show no progress, neither a bar nor a line every 10 s."),
)
"""Of every command that gives workers items."""

_OWN = (
    click.option(
        "--output",
        "output_file",
        required=True,
        metavar="FILE",
        shell_complete=complete_files,
        help="The results; - for standard output.",
    ),
    valued("--output-format", "Of the output; auto goes by the end of its name.", ("auto", "jsonl", "parquet"), "auto"),
    valued(
        "--errors",
        "With --format openai: rows of requests that could not be answered; else they stand in OUTPUT.",
        metavar="FILE",
        dest="errors_file",
    ),
    flag("--keep-order", "Write results in the order of the input, not as they finish."),
    valued(
        "--on-bad-line",
        "What a line that cannot be read does: read no further, or go to OUTPUT.dead.jsonl.",
        ("stop", "dead-letter"),
        "stop",
    ),
    valued(
        "--attempts",
        "How often workers may fail on a batch before it is cut in two, or given up where it is one item.",
        COUNT,
        2,
    ),
    flag("--resume", "Go on where a former job of the same kind ended."),
    flag("--overwrite", "Start over, though there is an output already."),
    flag("--rebuild", "With --resume: make a lost or damaged ledger from the output."),
    flag("--retry-dead", "Retry the dead letters of a former job, with this program or a fixed one, and nothing else."),
    flag("--take-over", "Write OUTPUT though a launcher on another host seems to be at work on it: it is dead."),
    flag("--drain-on-term", "At the first SIGTERM, as at SIGUSR1: finish the batches that are held, then end with 75."),
    valued("--replay", "Repeat the job that --run-dir kept in DIR, with another --output.", metavar="DIR"),
)


_MODEL = (
    valued(
        "--model",
        "Run this model with the built-in worker instead of a PROGRAM: a transformers directory.",
        metavar="DIR|random:NAME",
    ),
    valued("--input-tokens", "With --model: longer texts are cut to so many tokens.", COUNT, 256),
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
    seconds("--min-duration", "Of the test; 600 s is what MLPerf asks for.", 600.0),
    valued("--min-queries", "At least  [default: Offline 1, Server 100].", COUNT),
    valued("--target-latency-ms", "Server: 99 % of the queries must be answered within it.", MILLISECONDS, 100.0),
    valued("--loadgen-log-dir", "Where LoadGen writes its logs  [default: a new one].", metavar="DIR"),
)

batch_options = adding(_input(required=False), *_ITEMS, *_OWN, *_MODEL, *MODEL_OPTIONS)

loadgen_options = adding(*_LOADGEN, _input(required=True), *_ITEMS, *_MODEL, *MODEL_OPTIONS)

REPEATED_BY_BATCH = (*names_of(ItemOptions, ResultOptions), "output_format", "model")
"""What is kept with a batch job beside `REPEATED`; all but the output's form is settled then."""
