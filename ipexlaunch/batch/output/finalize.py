"""What is done with the results when all are there: put in order, made Parquet or an OpenAI batch, given their name."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO

from ipexlaunch.batch.output.append_results import NAME_A_FILE, StandardOutput, WriteError
from ipexlaunch.batch.output.parquet_file import write_parquet
from ipexlaunch.batch.output.result_rows import OutputRules, encode_row, number_of
from ipexlaunch.documents.write_file import replaced_file, write_file
from ipexlaunch.models.engines.openai_rows import is_error


def write_openai(lines: Iterable[bytes], output: BinaryIO, errors: str | None) -> None:
    """Write each result, which is a row of that API, without what we know of it beside.

    Args:
        lines: of results.
        output: the file that becomes the output.
        errors: of the file of error rows, written whole before the output is; None: they stand in the output.

    Raises:
        OSError: one of them cannot be written.
    """
    kept: list[str] = []

    def rows() -> Iterator[bytes]:
        for line in lines:
            row = json.loads(line)["result"]
            encoded = encode_row(row)
            if errors is not None and is_error(row):
                kept.append(encoded.decode())
            else:
                yield encoded

    output.writelines(rows())
    if errors is not None:
        write_file(errors, kept)


def write_results(
    rules: OutputRules,
    file: BinaryIO,
    path: str,
    lines: Callable[[], Iterable[bytes]],
    arranged: Callable[[], Iterable[bytes]],
) -> str:
    """Write lines of results in the form that is asked for; "" or a note about it.

    Args:
        rules: in which form, and where error rows go.
        file: what becomes the output.
        path: of that file.
        lines: gives the results from the first on, each time that it is called.
        arranged: gives them in the order in which they are written.

    Raises:
        LaunchError: pyarrow is wanted and not installed.
        OSError: a file cannot be written.
    """
    if rules.parquet:
        return write_parquet(lines, path, arranged)
    if rules.openai:
        write_openai(arranged(), file, rules.errors)
    else:
        file.writelines(arranged())
    return ""


PLACE = struct.Struct("=QQ")
"""Of a line in the file: where it begins, and its length."""

PLACES_AT_ONCE = 1 << 12


def finish_output(rules: OutputRules, length: int, *, keep_gathered: bool = False) -> str:
    """Make the output of the results that were gathered in another file, and remove that; "" or a note.

    The output appears under its name complete and synced, or not at all: until then the other file stays.

    Args:
        rules: where results were gathered, where they go, and in which form.
        length: how many bytes of what was gathered count.
        keep_gathered: leave what was gathered, because more may be added.

    Raises:
        WriteError: there is no room, or the output cannot be written; what was gathered stays.
        LaunchError: pyarrow is wanted and not installed.
    """
    gathered, output = rules.gathered, rules.path
    if gathered == output:
        return ""
    lines = partial(lines_up_to, gathered, length)
    arranged = partial(lines_in_order, gathered, length) if rules.keep_order else lines
    try:
        with replaced_file(output, aside=rules.unfinished) as file:
            note = write_results(rules, file, rules.unfinished, lines, arranged)
        if not keep_gathered:
            os.unlink(gathered)
    except OSError as error:
        raise WriteError(
            f"write {output}",
            error.strerror or str(error),
            f"every result is in {gathered}; make room and say --resume to finish",
        ) from None
    return note


def order_to_pipe(gathered: str, length: int, pipe: StandardOutput) -> None:
    """Write the results that were gathered in a file to a pipe, in the order of the input.

    Args:
        gathered: lines of results as they finished.
        length: how many bytes of it count.
        pipe: where they go.

    Raises:
        WriteError: nobody reads them, or there is no room to put them in order.
    """
    try:
        for line in lines_in_order(gathered, length):
            pipe.append(line)
            pipe.make_room()
        pipe.wait(None)
    except OSError as error:
        raise WriteError("put the results in order", str(error.strerror), NAME_A_FILE) from None


def lines_in_order(path: str, length: int, first: int = 0) -> Iterator[bytes]:
    """The lines of a file of results by the numbers of their items, in memory that does not grow with the file.

    Numbers are dense, so where each line stands is written at its number's place in a file without a name beside this
    one, sixteen bytes an item. Results come nearly in order, so that what is then read lies close together.

    Args:
        path: of the file.
        length: how many bytes of it count.
        first: the lowest number that there may be.

    Raises:
        OSError: there is no room for the places.
    """
    folder = os.path.dirname(os.path.abspath(path))
    with open(path, "rb") as file, tempfile.TemporaryFile(dir=folder, prefix=".ipexlaunch-") as places:
        begin = 0
        for line in lines_up_to(path, length):
            os.pwrite(places.fileno(), PLACE.pack(begin, len(line)), PLACE.size * (number_of(line) - first))
            begin += len(line)
        while block := places.read(PLACES_AT_ONCE * PLACE.size):
            for begin, size in PLACE.iter_unpack(block):
                if size:  # an item without a line has none
                    yield os.pread(file.fileno(), size, begin)


def lines_up_to(path: str, length: int) -> Iterator[bytes]:
    """The lines of a file up to a length, which ends with one of them.

    Args:
        path: of the file.
        length: in bytes.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb", buffering=1 << 20) as file:
        for line in file:
            length -= len(line)
            if length < 0:
                return
            yield line
