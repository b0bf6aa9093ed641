"""Write lines of results as Parquet: columns id, number, result; pyarrow is imported when it is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from ipexlaunch.errors import LaunchError
from ipexlaunch.errors.how_to_add import how_to_add

ROWS_AT_ONCE = 2048

LARGEST_NUMBER = 2**63 - 1
"""What a column of whole numbers can hold; where an id is larger, all are kept as JSON text."""

Ids = Literal["numbers", "texts", "json"]
"""How the ids of a job stand in their column: 1 and "1" are two, so where there are both each is kept as JSON text."""

GROUP_BYTES = 16 << 20
"""Lines that make one row group: what a reader must hold at once."""


def require_pyarrow() -> Any:
    """The library, so that a job that needs it in the end is refused at its beginning.

    Raises:
        LaunchError: it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise LaunchError(
            "write Parquet", "pyarrow is not installed beside ipexlaunch", how_to_add("parquet")
        ) from None
    return pyarrow


def write_parquet(
    open_lines: Callable[[], Iterable[bytes]], path: str, open_arranged: Callable[[], Iterable[bytes]] | None = None
) -> str:
    """Write lines as a Parquet file; "", or a note where results could be kept only as JSON text.

    The lines are read twice: first for the type that holds every result (numbers that are whole here and not there
    become floating-point numbers, a field that is missing here and there becomes null), then to be written.

    Args:
        open_lines: gives the lines of results from the first on, each time that it is called.
        path: of the file.
        open_arranged: gives them in the order in which they are written; None for the same.

    Raises:
        LaunchError: pyarrow is not installed.
        OSError: the file cannot be written.
    """
    pyarrow = require_pyarrow()
    schema, ids, note = _schema(pyarrow, open_lines())
    notes = [IDS_AS_JSON] if ids == "json" else []
    try:
        _write(pyarrow, (open_arranged or open_lines)(), path, schema, ids, as_text=bool(note))
    except _misfits(pyarrow):
        # The type holds each kind of value, but not this one: a whole number that no floating-point number equals.
        note = "a result does not fit the type of the others, so each is kept as JSON text"
        schema = schema.set(schema.get_field_index("result"), pyarrow.field("result", pyarrow.string()))
        _write(pyarrow, (open_arranged or open_lines)(), path, schema, ids, as_text=True)
    return "; ".join([*notes, *filter(None, [note])])


IDS_AS_JSON = 'some ids are numbers and some are text, or one is too large, so each is kept as JSON: 1 and "1" are two'


def _write(pyarrow: Any, lines: Iterable[bytes], path: str, schema: Any, ids: Ids, *, as_text: bool) -> None:
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        gathered: list[Any] = []
        size = 0
        for rows in _chunks(lines):
            gathered.append(_batch(pyarrow, rows, schema, ids, as_text=as_text))
            size += gathered[-1].nbytes
            if size >= GROUP_BYTES:
                writer.write_table(pyarrow.Table.from_batches(gathered, schema))
                gathered, size = [], 0
        if gathered:
            writer.write_table(pyarrow.Table.from_batches(gathered, schema))


def _schema(pyarrow: Any, lines: Iterable[bytes]) -> tuple[Any, Ids, str]:
    """What holds every row, how its ids stand there, and a note where results are text."""
    results, note = pyarrow.null(), ""
    kinds: set[Ids] = set()
    for rows in _chunks(lines):
        kinds.update(_kind_of_id(row["id"]) for row in rows)
        if note:
            continue
        found = _type_of(pyarrow, [row["result"] for row in rows])
        joined = _together(pyarrow, results, found) if found is not None else None
        if joined is None:
            note = "the results are of different kinds, so each is kept as JSON text"
            joined = pyarrow.string()
        results = joined
    if _has_empty_struct(pyarrow, results):
        results, note = pyarrow.string(), "the results are objects without fields, so each is kept as JSON text"
    ids: Ids = next(iter(kinds), "numbers") if len(kinds) < 2 else "json"
    column = pyarrow.int64() if ids == "numbers" else pyarrow.string()
    return pyarrow.schema([("id", column), ("number", pyarrow.int64()), ("result", results)]), ids, note


def _kind_of_id(given: object) -> Ids:
    """How an id can stand in a column of its like."""
    if isinstance(given, int):
        return "numbers" if abs(given) <= LARGEST_NUMBER else "json"
    # Half a surrogate pair, which older versions took for text, is no UTF-8.
    return "texts" if isinstance(given, str) and not _SURROGATE.search(given) else "json"


_SURROGATE = re.compile("[\ud800-\udfff]")


def _type_of(pyarrow: Any, values: list[Any]) -> Any:
    """The type of a column of these; None where there is none."""
    try:
        return pyarrow.infer_type(values)
    except _misfits(pyarrow):
        return None


def _misfits(pyarrow: Any) -> tuple[type[Exception], ...]:
    """What pyarrow raises where a value does not fit a type."""
    kinds = pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError
    return (*kinds, OverflowError, UnicodeEncodeError)


def _together(pyarrow: Any, one: Any, other: Any) -> Any:
    """The type that holds what both hold; None where there is none."""
    if other is None:
        return None
    fields = [pyarrow.schema([("held", kind)]) for kind in (one, other)]
    try:
        return pyarrow.unify_schemas(fields, promote_options="permissive").field("held").type
    except _misfits(pyarrow):
        return None


def _has_empty_struct(pyarrow: Any, kind: Any) -> bool:
    """Parquet has no objects without fields."""
    types = pyarrow.types
    if types.is_struct(kind):
        return kind.num_fields == 0 or any(_has_empty_struct(pyarrow, field.type) for field in kind)
    return types.is_list(kind) and _has_empty_struct(pyarrow, kind.value_type)


def _batch(pyarrow: Any, rows: list[dict[str, Any]], schema: Any, ids: Ids, *, as_text: bool) -> Any:
    given = [json.dumps(row["id"]) if ids == "json" else row["id"] for row in rows]
    results = [row["result"] for row in rows]
    if as_text:
        results = [json.dumps(result, separators=(",", ":")) for result in results]
    columns = [
        pyarrow.array(column, type=field.type)
        for column, field in zip((given, [row["number"] for row in rows], results), schema, strict=True)
    ]
    return pyarrow.RecordBatch.from_arrays(columns, schema=schema)


def _chunks(lines: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    """Rows in lists of no more lines, and not many more bytes, than are held well at once."""
    rows: list[dict[str, Any]] = []
    size = 0
    for line in lines:
        rows.append(json.loads(line))
        size += len(line)
        if len(rows) >= ROWS_AT_ONCE or size >= GROUP_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows
