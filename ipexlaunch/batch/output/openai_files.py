"""The output and the error file of an OpenAI batch, made of the results that were gathered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ipexlaunch.batch.output.result_rows import encode_row
from ipexlaunch.documents.write_file import write_file
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
