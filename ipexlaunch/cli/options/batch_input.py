"""What the options of `batch` and `loadgen` say of items and results: where from, where to, how put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import click

from ipexlaunch.batch.input.input_files import InputFile, find_inputs, format_of
from ipexlaunch.batch.input.input_rules import InputFormat, InputRules
from ipexlaunch.batch.input.open_items import ItemSource
from ipexlaunch.batch.output.result_rows import PARQUET_SUFFIXES, STDOUT, UNWRITTEN_SUFFIXES, OutputRules
from ipexlaunch.batch.work_queue import BatchRules
from ipexlaunch.cli.options.batch_options import (
    BYTES_PER_TOKEN,
    LOOK_AHEAD,
    BatchOptions,
    FedOptions,
    ItemOptions,
)
from ipexlaunch.cli.options.checked_command import check_settled
from ipexlaunch.documents.write_file import descriptor_of, is_stream
from ipexlaunch.errors import RequestError, UsageError


def find_input(options: FedOptions) -> ItemSource:
    """The input that the options name, found readable.

    Raises:
        RequestError: no file has such a name, or a name does not say what the file holds.
        DocumentError: a file is missing, a directory, or not readable.
        UsageError: an option says nothing of such an input, or a batch would be larger than what is looked at for it.
    """
    _check_look_ahead(options.look_ahead, options.batch_size)
    inputs = find_inputs(options.input_file)
    formats = [format_of(path, options.input_format) for path in inputs.paths]
    _check_formats(set(formats))
    rules = InputRules(
        id_field="custom_id" if options.input_format == "openai" else options.id_field,
        text_field=options.text_field,
        tokens_field=options.tokens_field,
        text_only=options.model is not None and options.input_format != "openai",
        longest_line_bytes=int(options.max_line_mb * 1e6),
        delimiter=options.delimiter,
        quote=options.quote,
    )
    paths = zip(inputs.paths, formats, strict=True)
    return ItemSource([InputFile(path, replace(rules, format=form)) for path, form in paths], several=inputs.several)


def _check_formats(formats: Iterable[InputFormat]) -> None:
    """Refuse options that say nothing of any of the inputs; for some of them is enough."""
    refusals: list[click.UsageError | None] = []
    for form in formats:
        try:
            check_settled(input_format=form)
            refusals.append(None)
        except click.UsageError as error:
            refusals.append(error)
    if all(refusals):
        raise next(filter(None, refusals))


def _check_look_ahead(look_ahead: int | None, batch_size: int) -> None:
    if look_ahead is not None and look_ahead < batch_size:
        raise UsageError(
            f"--look-ahead {look_ahead} and --batch-size {batch_size} exclude each other: a batch is made of items that"
            f" are looked at together; give --look-ahead {batch_size} at least, or a smaller --batch-size"
        )


def batch_rules(workers: int, options: ItemOptions, **more: int) -> BatchRules:
    """How items are put into batches.

    Args:
        workers: that take them.
        options: of the command.
        more: fields that only one of the commands knows.
    """
    largest = options.batch_size
    return BatchRules(
        workers=workers,
        largest=largest,
        largest_padded=largest_padded(options),
        look_ahead=options.look_ahead or max(LOOK_AHEAD, largest),
        **more,
    )


def largest_padded(options: ItemOptions) -> int | None:
    """--batch-tokens in the unit of the items' sizes: tokens where a field gives them, else bytes."""
    tokens = options.batch_tokens
    return tokens if tokens is None or options.tokens_field is not None else tokens * BYTES_PER_TOKEN


def output_rules(options: BatchOptions) -> OutputRules:
    """Where the options say that results go.

    Raises:
        RequestError: options that exclude each other.
    """
    path, form = options.output_file, options.output_format
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
    goes_on = options.resume or options.retry_dead
    for name, piped in (("output", streamed), ("input", "-" in options.input_file)):
        if goes_on and piped:
            raise RequestError(f"resume a job whose {name} is a pipe", "what was read from it is gone", "use files")
    openai = options.input_format == "openai"
    if openai:
        _check_openai(path if streamed else "", parquet)
    return OutputRules(
        path=path, keep_order=options.keep_order, parquet=parquet, openai=openai, errors=options.errors_file
    )


def _check_openai(stream: str, parquet: bool) -> None:
    """Answers of OpenAI's batch API are JSON lines.

    Args:
        stream: the output, where it is a pipe or a device; else "".
        parquet: whether the output is Parquet.
    """
    if stream or parquet:
        where = "standard output" if stream == STDOUT else stream or "Parquet"
        raise RequestError(
            f"write answers to {where}", "OpenAI's batch files are JSON lines", "give --output FILE.jsonl"
        )
