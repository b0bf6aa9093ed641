"""The values of an Arrow column as JSON can hold them; docs/batch.md has the form of every type.

pyarrow's own conversion to Python ends with an error at nanoseconds, years beyond 9999 and text in binary columns, for
the whole column; here one such value is one bad row, or has a form.
"""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from ipexlaunch.batch.input.input_rules import BadRow

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
DAY_S = 86_400
TO_TEXT = "choose the column that is wanted: --text-field"


@dataclass(frozen=True, slots=True)
class NoJson:
    """Stands for a value that JSON has no form for, and says why."""

    problem: str


def values_of(array: Any) -> list[Any]:
    """The values of a column, each as JSON can hold it, None, or a NoForm somewhere in it.

    Args:
        array: a pyarrow Array.
    """
    import pyarrow

    kind, types = array.type, pyarrow.types
    if isinstance(kind, pyarrow.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return _each(lambda value: str(uuid.UUID(bytes=value)), array.storage)
        return values_of(array.storage)
    if types.is_dictionary(kind):
        return values_of(array.dictionary_decode())
    if kind in _views(pyarrow):
        return values_of(array.cast(_views(pyarrow)[kind]))
    if types.is_timestamp(kind):
        return _each(_timestamps(kind.unit, kind.tz), array.view("int64"))
    if types.is_date(kind):
        scale = 1 if types.is_date32(kind) else DAY_S * 1000
        return _each(lambda value: _date(value // scale), array.view(f"int{kind.bit_width}"))
    if types.is_time(kind):
        return _each(lambda value: _time(value, PER_SECOND[kind.unit]), array.view(f"int{kind.bit_width}"))
    if types.is_duration(kind):
        return _each(lambda value: value / PER_SECOND[kind.unit], array.view("int64"))
    if types.is_decimal(kind):
        return _each(str, array)
    if types.is_floating(kind):
        return _each(lambda value: float(value) if math.isfinite(value) else None, array)
    if types.is_struct(kind):
        return _structs(array, kind)
    if types.is_map(kind):
        pairs = zip(_sliced(array, values_of(array.keys)), _sliced(array, values_of(array.items)), strict=True)
        return [None if keys is None else [list(pair) for pair in zip(keys, held, strict=True)] for keys, held in pairs]
    if types.is_list(kind) or types.is_large_list(kind):
        return _sliced(array, values_of(array.values))
    if types.is_fixed_size_list(kind):
        return [None if not held.is_valid else values_of(held.values) for held in array]
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _each(_text, array)
    if types.is_string(kind) or types.is_large_string(kind):
        return _texts(array, pyarrow)
    if types.is_null(kind) or types.is_boolean(kind) or types.is_integer(kind):
        return list(array.to_pylist())
    return [None if not held.is_valid else NoJson(f"it holds {kind}, which has no form in JSON") for held in array]


def _each(form: Callable[[Any], Any], array: Any) -> list[Any]:
    return [None if value is None else form(value) for value in array.to_pylist()]


def _views(pyarrow: Any) -> dict[Any, Any]:
    """Newer forms of text and bytes, and those that they can be read as."""
    if not hasattr(pyarrow, "string_view"):
        return {}
    return {pyarrow.string_view(): pyarrow.large_string(), pyarrow.binary_view(): pyarrow.large_binary()}


def checked(value: Any) -> Any:
    """The value, if all of it has a form.

    Raises:
        BadRow: a part of it has none.
    """
    if isinstance(value, NoJson):
        raise BadRow(value.problem, TO_TEXT)
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        checked(part)
    return value


def _structs(array: Any, kind: Any) -> list[Any]:
    fields = [kind.field(place) for place in range(kind.num_fields)]
    columns = [values_of(array.field(place)) for place in range(kind.num_fields)]
    names = [field.name for field in fields]
    rows = zip(*columns, strict=True) if columns else ((),) * len(array)
    valid = array.is_valid().to_pylist()
    return [dict(zip(names, row, strict=True)) if there else None for there, row in zip(valid, rows, strict=True)]


def _sliced(array: Any, values: list[Any]) -> list[Any]:
    """The values of each list; offsets are those of the whole buffer, as `values` is."""
    offsets, valid = array.offsets.to_pylist(), array.is_valid().to_pylist()
    return [values[offsets[at] : offsets[at + 1]] if there else None for at, there in enumerate(valid)]


def _texts(array: Any, pyarrow: Any) -> list[Any]:
    try:
        return list(array.to_pylist())
    except UnicodeDecodeError:  # writers do not all check what they call text
        wide = pyarrow.types.is_large_string(array.type)
        return _each(_text, array.view(pyarrow.large_binary() if wide else pyarrow.binary()))


def _text(value: bytes) -> Any:
    """Text in a column that does not say that it is text: Impala and old releases of Spark write it so."""
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        return NoJson(f"it holds bytes that are no text (byte {error.start + 1} is 0x{value[error.start]:02x})")
    return text if "\0" not in text else NoJson(f"it holds bytes that are no text (byte {text.index(chr(0)) + 1} is 0)")


def _timestamps(unit: str, zone: str | None) -> Callable[[int], str]:
    """Times as ISO 8601, as Python writes them, with nine digits where the ninth is needed.

    Args:
        unit: of the numbers, since 1970.
        zone: name or offset of their zone; None for local times of nobody knows where.
    """
    per = PER_SECOND[unit]
    place = _zone(zone)

    def form(value: int) -> str:
        seconds, part = divmod(value, per)
        nanoseconds = part * (PER_SECOND["ns"] // per)
        offset = ""
        if place is not None:
            try:
                moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).astimezone(place)
                shift = moment.utcoffset() or datetime.timedelta()
            except (ValueError, OverflowError):
                shift = datetime.timedelta()  # beyond the years of any zone's rules: as UTC
            seconds += round(shift.total_seconds())
            offset = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone(shift)).isoformat()[19:]
        days, second = divmod(seconds, DAY_S)
        return f"{_date(days)}T{_clock(second, nanoseconds)}{offset}"

    return form


def _zone(zone: str | None) -> datetime.tzinfo | None:
    if zone is None:
        return None
    if zone[:1] in "+-" and len(zone) == 6:
        sign = -1 if zone[0] == "-" else 1
        return datetime.timezone(sign * datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6])))
    try:
        return ZoneInfo(zone)
    except (KeyError, OSError, ValueError):  # no such zone on this host
        return datetime.timezone.utc


def _time(value: int, per: int) -> str:
    seconds, part = divmod(value, per)
    return _clock(seconds, part * (PER_SECOND["ns"] // per))


def _clock(second: int, nanoseconds: int) -> str:
    digits = (
        "" if not nanoseconds else f".{nanoseconds // 1000:06d}" if nanoseconds % 1000 == 0 else f".{nanoseconds:09d}"
    )
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}{digits}"


def _date(days: int) -> str:
    """A day of the proleptic Gregorian calendar, from 1970-01-01 on; years beyond 0 to 9999 have a sign (ISO 8601).

    Source: Howard Hinnant, chrono-Compatible Low-Level Date Algorithms, civil_from_days.
    """
    era, day = divmod(days + 719_468, 146_097)
    year_of_era = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day_of_year = day - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    written = f"{year:04d}" if 0 <= year <= 9999 else f"{'-' if year < 0 else '+'}{abs(year):05d}"
    return f"{written}-{month:02d}-{day_of_year - (153 * shifted + 2) // 5 + 1:02d}"
