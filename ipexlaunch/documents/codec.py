"""Values to and from what YAML and JSON hold: a document has the shape of its value, a frozen dataclass.

Keys are the fields in their order, tuples and sets are lists, maps by numbers have these as text; what else differs is
said on the field (`documents.fields`). Scalars are strict: "5" and 1.9 and true are no int. A field with a default may
be missing. pydantic is imported when the first document is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache, partial
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ipexlaunch.documents.fields import KEY, LACKING, OMITTED, AsList, Encoded
from ipexlaunch.documents.text import CORRECT, Document, line_of, nearest, place_of, shortened
from ipexlaunch.documents.visible_text import ascii_escapes
from ipexlaunch.errors import DocumentError

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

Value = TypeVar("Value")
UnknownKeys = Literal["forbid", "ignore"]
"""What is done about keys that no field has."""


def read_value(
    document: Document, kind: type[Value], *, unknown: UnknownKeys = "forbid", complete: bool = False
) -> Value:
    """The value that a document holds, or the error that names every place where it departs from it.

    Args:
        document: parsed.
        kind: the value's dataclass.
        unknown: what is done about keys that it does not have.
        complete: whether a key must be there though its field has a default, but for those that are OMITTED or LATER.

    Raises:
        DocumentError: the first problem in the order of the file; `problems` has them all.
    """
    from pydantic_core import ValidationError

    try:
        data = {key: value for key, value in document.data.items() if key != "schema"}
        return _validated(data, kind, unknown, complete)
    except ValidationError as error:
        found = [_problem(document, kind, details) for details in error.errors(include_url=False)]
        found.sort(key=lambda problem: problem[0])
        _, where, text, hint = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        problem = DocumentError(document.source, where, text + more, hint or CORRECT)
        problem.problems = tuple(f"{where}: {text}" + (f"; {hint}" if hint else "") for _, where, text, hint in found)
        raise problem from None


def from_plain(data: object, kind: type[Value], *, complete: bool = False) -> Value:
    """The value that plain data hold, which are a part of a document.

    Args:
        data: of JSON or YAML.
        kind: the value's dataclass.
        complete: as for `read_value`.

    Raises:
        ValueError: the first place where they depart from it.
    """
    from pydantic_core import ValidationError

    try:
        return _validated(data, kind, "forbid", complete)
    except ValidationError as error:
        path, problem, hint = _sentence(kind, error.errors(include_url=False)[0])
        raise ValueError(f"{place_of(path)}: {problem}" + (f"; {hint}" if hint else "")) from None


def _validated(data: object, kind: type[Value], unknown: UnknownKeys, complete: bool) -> Value:
    return cast(Value, _validator(cast(Any, kind), unknown, complete).validate_python(data))


def to_plain(value: Any, *, sparse: bool = False) -> Any:
    """What JSON and YAML can hold of a value; `from_plain` gives it back.

    Args:
        value: a dataclass, or what stands in one.
        sparse: leave out the dataclass's own fields that have their defaults.
    """
    if isinstance(value, (str, int, float, NoneType)):
        return value
    if isinstance(value, Mapping):
        if value and all(isinstance(key, int) for key in value):
            return {str(key): to_plain(value[key]) for key in sorted(value)}
        return {key: to_plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(each) for each in value]
    if isinstance(value, (frozenset, set)):
        return [to_plain(each) for each in sorted(value)]
    row: dict[str, Any] = {}
    kind: Any = type(value)
    for entry, key, omitted, write in _written(kind):
        held = getattr(value, entry.name)
        if not ((sparse or omitted) and held == _default(entry)):
            row[key] = None if held is None else write(held)
    return list(row.values()) if isinstance(value, AsList) else row


def dump_json(data: Mapping[str, Any]) -> str:
    """JSON for machines, keys in the order given, ending in a newline; bytes that are no text are escapes."""
    return ascii_escapes(json.dumps(data, indent=1, ensure_ascii=False)) + "\n"


@cache
def _written(kind: Any) -> tuple[tuple[Field[Any], str, bool, Callable[[Any], Any]], ...]:
    """Of each field that documents have: itself, its key, whether its default is left out, and what writes it."""
    hints = get_type_hints(kind, include_extras=True)
    encodings = [(entry, _encoding(hints[entry.name])) for entry in fields(kind)]
    return tuple(
        (entry, key, entry.metadata == OMITTED, encoded.write if encoded else to_plain)
        for entry, encoded in encodings
        if (key := _key(entry))
    )


def _encoding(hint: Any) -> Encoded | None:
    if {Any, object} & {hint, *get_args(hint)}:
        return _FREE
    if get_origin(hint) in (Union, UnionType):
        return next(filter(None, map(_encoding, get_args(hint))), None)
    return next((each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Encoded)), None)


def _as_it_is(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


_FREE = Encoded(_as_it_is, _as_it_is)
"""What has no type is as JSON has it, however deep it is."""


def _key(entry: Field[Any]) -> str:
    return str(entry.metadata.get(KEY, entry.name))


def _default(entry: Field[Any]) -> Any:
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


@cache
def _validator(kind: Any, unknown: UnknownKeys, complete: bool) -> SchemaValidator:
    from pydantic import TypeAdapter
    from pydantic_core import SchemaValidator

    return SchemaValidator(_strict(TypeAdapter(kind).core_schema, unknown, complete))


def _strict(part: Any, unknown: UnknownKeys, complete: bool) -> Any:
    """The same schema where nothing is converted but what JSON and YAML have no form for."""
    if isinstance(part, list):
        return [_strict(each, unknown, complete) for each in part]
    if not isinstance(part, dict):
        return part
    made = {key: each if key == "default" else _strict(each, unknown, complete) for key, each in part.items()}
    match made.get("type"):
        case "int" | "bool" | "str":
            return {**made, "strict": True}
        case "float":
            return {**made, "strict": True, "allow_inf_nan": False}
        case "tuple" | "frozenset":
            return _list(made)
        case "dict":
            return _dict(made)
        case "dataclass":
            return _dataclass(made, complete)
        case "dataclass-args":
            return {**made, "extra_behavior": unknown}
    return made


def _dataclass(part: dict[str, Any], complete: bool) -> dict[str, Any]:
    """One whose fields have other keys, or none, or stand in a list."""
    keys = {entry.name: _key(entry) for entry in fields(part["cls"])}
    required = {entry.name for entry in fields(part["cls"]) if complete and LACKING not in entry.metadata}
    for entry in part["schema"]["fields"]:
        name = entry["name"]
        if not keys[name]:
            entry["init"] = False
        elif name in required and entry["schema"]["type"] == "default":
            entry["schema"] = entry["schema"]["schema"]
        if keys[name] not in ("", name):
            entry["validation_alias"] = keys[name]
    if not issubclass(part["cls"], AsList):
        return part
    function = {"type": "no-info", "function": partial(_by_name, list(keys.values()))}
    return {"type": "function-before", "function": function, "schema": part}


def _by_name(keys: list[str], row: object) -> object:
    if not isinstance(row, list) or len(row) > len(keys):
        raise ValueError(f"should be a list of {', '.join(keys)}")
    return dict(zip(keys, row, strict=False))


def _list(part: dict[str, Any]) -> dict[str, Any]:
    """A tuple of any length or a set, from a list."""
    items = part["items_schema"]
    items = items[0] if isinstance(items, list) else items
    collect: Any = tuple if part["type"] == "tuple" else frozenset
    lengths = {key: part[key] for key in ("min_length", "max_length") if key in part}
    listed: dict[str, Any] = {"type": "list", "items_schema": items, "strict": True} | lengths
    return {"type": "function-after", "function": {"type": "no-info", "function": collect}, "schema": listed}


def _dict(part: dict[str, Any]) -> dict[str, Any]:
    made = {**part, "strict": True}
    if part.get("keys_schema", {}).get("type") != "int":
        return made
    return {"type": "function-before", "function": {"type": "no-info", "function": _whole_keys}, "schema": made}


def _whole_keys(value: object) -> object:
    """JSON has text keys only; "10" and 10 are the same node."""
    if not isinstance(value, dict):
        return value
    return {int(key) if isinstance(key, str) and _WHOLE.fullmatch(key) else key: each for key, each in value.items()}


_WHOLE = re.compile("[0-9]{1,18}")


def _problem(document: Document, kind: type, details: Any) -> tuple[int, str, str, str]:
    """(line, place, problem, hint) of one finding of the validator."""
    path, problem, hint = _sentence(kind, details)
    place, line = place_of(path), line_of(document.text, path)
    return int(line.removeprefix("line ") or 0), f"{line}, {place}" if line else place, problem, hint


def _sentence(kind: type, details: Any) -> tuple[tuple[str | int, ...], str, str]:
    """(path, problem, hint)."""
    path = tuple(details["loc"])
    last = str(path[-1]) if path else ""
    unknown = details["type"] == "unexpected_keyword_argument"
    if (unknown or details["type"] == "invalid_key") and last.replace("-", "").isdecimal():
        return path, f"{last!r} stands where a key should", 'put lists with commas in quotes: "0-3,8"'
    if unknown:
        return path, f"unknown key {last!r}", nearest(last, _keys_at(kind, path[:-1]))
    if details["type"] == "missing":
        return path, f"the key {last!r} is missing", ""
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "dataclass_type":
        message = "Input should be a valid dictionary"
    return path, f"{message[0].lower()}{message[1:]}, not {shortened(details['input'])}", ""


def _keys_at(kind: Any, path: tuple[Any, ...]) -> list[str]:
    """The keys that are known where a path leads to."""
    for step in path:
        kind = _bare(kind)
        if is_dataclass(kind):
            names = {_key(entry): entry.name for entry in fields(kind)}
            kind = get_type_hints(kind)[names[step]]
        else:
            kind = get_args(kind)[0 if isinstance(step, int) else 1]
    kind = _bare(kind)
    return [key for entry in fields(kind) if (key := _key(entry))]


def _bare(kind: Any) -> Any:
    """The kind itself of what may be None."""
    while get_origin(kind) in (Annotated, Union, UnionType):
        kind = next(each for each in get_args(kind) if each is not NoneType)
    return kind
