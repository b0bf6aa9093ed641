"""Items from a Parquet file, a thousand rows at a time; pyarrow is imported when the first is wanted."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Callable, Iterator
from typing import Any

from ipexlaunch.batching.input_rules import BadLine, BadRow, InputRules, ItemMaker
from ipexlaunch.batching.items import Item
from ipexlaunch.errors import DocumentError, LaunchError

ROWS_AT_ONCE = 1024


def parquet_items(path: str, maker: ItemMaker, skip: Callable[[int], bool]) -> Iterator[Item | BadLine]:
    """Every row as an object, or why it gives no item.

    Dates and times become ISO 8601 text, decimals text; NaN and infinities, which JSON does not have, become null.

    Args:
        path: of the file.
        maker: makes an item of an object; columns that its rules do not name are not read where they name a text.
        skip: whether the item of this number is not wanted.

    Raises:
        DocumentError: it is no Parquet file, it is damaged, or a field is missing.
        LaunchError: pyarrow is not installed.
    """
    parquet, rules = _parquet(), maker.rules
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            columns = _columns(file.schema_arrow.names, rules, path)
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns):
                for row in batch.to_pylist():
                    if not skip(number):
                        yield _item(row, number, maker)
                    number += 1
    except (OSError, ValueError) as error:
        raise _unreadable(path, number, error) from None


def count_rows(path: str) -> int:
    """How many rows a Parquet file says that it has.

    Args:
        path: of the file.

    Raises:
        DocumentError: it is no Parquet file.
        LaunchError: pyarrow is not installed.
    """
    parquet = _parquet()
    try:
        rows: int = parquet.read_metadata(path).num_rows
    except (OSError, ValueError) as error:
        raise _unreadable(path, 0, error) from None
    return rows


def _unreadable(path: str, number: int, error: Exception) -> DocumentError:
    """What pyarrow says in its own words; its errors are OSError and ValueError."""
    where = f"row {number + 1}" if number else ""
    return DocumentError(path, where, f"it is not Parquet, or damaged: {_first_line(error)}")


def _item(row: dict[str, Any], number: int, maker: ItemMaker) -> Item | BadLine:
    try:
        value = jsonable(row)
        return maker.item(value, number, number + 1, _rough_size(value))
    except BadRow as bad:
        return BadLine(
            number=number, place=number + 1, problem=bad.problem, hint=bad.hint, begins=", ".join(map(str, row))
        )


def jsonable(value: Any) -> Any:
    """A value of pyarrow's as JSON can hold it.

    Raises:
        BadRow: it is bytes, or something else that has no form in JSON.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: jsonable(held) for key, held in value.items()}
    if isinstance(value, list | tuple):  # a map is a list of pairs
        return [jsonable(held) for held in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return str(value)
    raise BadRow(
        f"it holds {type(value).__name__}, which has no form in JSON", "choose the column that is wanted: --text-field"
    )


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise LaunchError(
            "read Parquet", "pyarrow is not installed beside ipexlaunch", "pip install 'ipexlaunch[parquet]'"
        ) from None
    return pyarrow.parquet


def _columns(names: list[str], rules: InputRules, path: str) -> list[str] | None:
    """Those to be read: all where whole rows are wanted."""
    wanted = [name for name in (rules.id_field, rules.text_field, rules.tokens_field) if name is not None]
    for name in wanted:
        if name not in names:
            raise DocumentError(path, "", f"there is no column {name!r}", f"it has {', '.join(names)}")
    return sorted(set(wanted), key=names.index) if rules.text_field is not None else None


def _rough_size(value: object) -> int:
    """About as many bytes as it would have as a line."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_rough_size, value.values()))
    if isinstance(value, list):
        return sum(map(_rough_size, value))
    return 8


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
