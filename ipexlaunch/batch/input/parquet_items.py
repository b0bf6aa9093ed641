"""Items from a Parquet file, a thousand rows at a time; pyarrow is imported when the first is wanted."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ipexlaunch.batch.input.arrow_values import checked, values_of
from ipexlaunch.batch.input.input_part import InputPart
from ipexlaunch.batch.input.input_rules import BadLine, BadRow, InputRules, ItemMaker
from ipexlaunch.batch.items import Item
from ipexlaunch.errors import DocumentError, LaunchError
from ipexlaunch.errors.how_to_add import how_to_add

ROWS_AT_ONCE = 1024


def parquet_items(
    path: str, maker: ItemMaker, first: int = 0, part: InputPart | None = None
) -> Generator[Item | BadLine, None, int]:
    """Every row as an object, or why it gives no item; returns the number after the last.

    docs/batch.md has the form of every type (arrow_values.py); a value that has none makes its row a bad one.

    Args:
        path: of the file.
        maker: makes an item of an object; columns that its rules do not name are not read where they name a text.
        first: the number of the first row.
        part: which row groups; None for all.

    Raises:
        DocumentError: it is no Parquet file, it is damaged, a field is missing, or two have one name.
        LaunchError: pyarrow is not installed.
    """
    parquet, rules = _parquet(), maker.rules
    begin = place = 0 if part is None else part.first_line - 1
    groups = None if part is None else list(range(part.begin, part.end))
    try:
        with parquet.ParquetFile(path) as file:
            _refuse_doubles(file.schema_arrow, path)
            columns = _columns(file.schema_arrow.names, rules, path)
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns, row_groups=groups):
                for row in _rows_of(batch):
                    place += 1
                    yield _item(row, first + place - begin - 1, place, maker)
    except (OSError, ValueError) as error:
        raise _unreadable(path, place, error) from None
    return first + place - begin


def group_rows(path: str) -> list[int]:
    """How many rows each row group of a Parquet file has.

    Args:
        path: of the file.

    Raises:
        DocumentError: it is no Parquet file.
        LaunchError: pyarrow is not installed.
    """
    parquet = _parquet()
    try:
        metadata = parquet.read_metadata(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, 0, error) from None
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def count_rows(path: str) -> int:
    """How many rows a Parquet file says that it has.

    Args:
        path: of the file.

    Raises:
        DocumentError: it is no Parquet file.
        LaunchError: pyarrow is not installed.
    """
    return sum(group_rows(path))


def _rows_of(batch: Any) -> list[dict[str, Any]]:
    """The rows of a batch, in which a value that has no form in JSON is marked."""
    columns = [values_of(column) for column in batch.columns]
    names = batch.schema.names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)] if columns else []


def _refuse_doubles(schema: Any, path: str) -> None:
    """Two columns of one name, or two fields of a struct: one of them would be lost.

    Raises:
        DocumentError: there are.
    """

    def check(fields: Any, where: str) -> None:
        names = [field.name for field in fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DocumentError(path, "", f"it names {where}{twice[0]!r} twice", "give each its own name")
        for field in fields:
            kind = field.type
            check([kind.field(place) for place in range(kind.num_fields)], f"in {field.name!r} the field ")

    check(list(schema), "the column ")


def _unreadable(path: str, place: int, error: Exception) -> DocumentError:
    """What pyarrow says in its own words; its errors are OSError and ValueError."""
    where, said = f"row {place + 1}" if place else "", [*str(error).splitlines(), type(error).__name__]
    return DocumentError(
        path, where, f"it is not Parquet, or damaged: {said[0].rstrip('.')}", "copy it, or write it, again"
    )


def _item(row: dict[str, Any], number: int, place: int, maker: ItemMaker) -> Item | BadLine:
    try:
        value = checked(row)
        return maker.item(value, number, place, _rough_size(value))
    except BadRow as bad:
        names = ", ".join(row)
        return BadLine(number=number, place=place, problem=bad.problem, hint=bad.hint, begins=names, id=bad.id)


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise LaunchError("read Parquet", "pyarrow is not installed beside ipexlaunch", how_to_add("parquet")) from None
    return pyarrow.parquet


def _columns(names: list[str], rules: InputRules, path: str) -> list[str] | None:
    """Those to be read: all where whole rows are wanted."""
    for name in rules.fields:
        if name not in names:
            raise DocumentError(path, "", f"there is no column {name!r}", f"it has {', '.join(names)}")
    return sorted(set(rules.fields), key=names.index) if rules.text_field is not None else None


def _rough_size(value: object) -> int:
    """About as many bytes as it would have as a line."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_rough_size, value.values()))
    if isinstance(value, list):
        return sum(map(_rough_size, value))
    return 8
