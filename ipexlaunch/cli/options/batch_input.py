"""What the options of `batch` and `loadgen` say of the items: where they come from, and how they are put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import click

from ipexlaunch.batch.input.find_inputs import find_inputs, format_of
from ipexlaunch.batch.input.input_file import InputFile
from ipexlaunch.batch.input.input_rules import InputFormat, InputRules
from ipexlaunch.batch.input.open_items import ItemSource
from ipexlaunch.batch.work_queue import BatchRules
from ipexlaunch.cli.options.check_options import check_settled

LOOK_AHEAD = 4096

BYTES_PER_TOKEN = 4
"""Of English text: 4.2 with the tokenizer of all-MiniLM-L6-v2 on examples/sentences.txt."""


def find_input(options: dict[str, Any]) -> ItemSource:
    """The input that the options name, found readable.

    Raises:
        RequestError: no file has such a name, or a name does not say what the file holds.
        DocumentError: a file is missing, a directory, or not readable.
        UsageError: an option says nothing of such an input, or a batch would be larger than what is looked at for it.
    """
    _check_look_ahead(options["look_ahead"], options["batch_size"])
    inputs = find_inputs(options["input_file"])
    formats = [format_of(path, options["input_format"]) for path in inputs.paths]
    _check_formats(set(formats))
    rules = InputRules(
        id_field="custom_id" if options["input_format"] == "openai" else options["id_field"],
        text_field=options["text_field"],
        tokens_field=options["tokens_field"],
        text_only=options["model"] is not None and options["input_format"] != "openai",
        longest_line_bytes=int(options["max_line_mb"] * 1e6),
        delimiter=options["delimiter"],
        quote=options["quote"],
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
        raise click.UsageError(
            f"--look-ahead {look_ahead} and --batch-size {batch_size} exclude each other: a batch is made of items that"
            f" are looked at together; give --look-ahead {batch_size} at least, or a smaller --batch-size"
        )


def batch_rules(workers: int, options: dict[str, Any], **more: int) -> BatchRules:
    """How items are put into batches.

    Args:
        workers: that take them.
        options: the command's keyword arguments.
        more: fields that only one of the commands knows.
    """
    largest = options["batch_size"]
    return BatchRules(
        workers=workers,
        largest=largest,
        largest_padded=largest_padded(options),
        look_ahead=options["look_ahead"] or max(LOOK_AHEAD, largest),
        **more,
    )


def largest_padded(options: dict[str, Any]) -> int | None:
    """--batch-tokens in the unit of the items' sizes: tokens where a field gives them, else bytes."""
    tokens: int | None = options["batch_tokens"]
    return tokens if tokens is None or options["tokens_field"] is not None else tokens * BYTES_PER_TOKEN
