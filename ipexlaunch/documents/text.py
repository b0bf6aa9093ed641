"""Reading and writing YAML or JSON text: syntax, schema version, validation with the line of each problem.

A document is a mapping whose first key is `schema`, "ipexlaunch/KIND/VERSION". Unknown keys are errors.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ipexlaunch.documents.large_numbers import LARGEST, place_of_large_number
from ipexlaunch.documents.typed_text import ascii_escapes
from ipexlaunch.errors import DocumentError

Model = TypeVar("Model", bound=BaseModel)

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Parsed text that still knows where it came from."""

    source: str
    """The file's name, for messages."""
    text: str
    data: Mapping[str, Any]
    kind: str
    version: int


def parse_document(text: str, source: str, kinds: Mapping[str, Sequence[int]]) -> Document:
    """Parse YAML or JSON and check its schema line.

    Args:
        text: the whole file.
        source: the file's name, for messages.
        kinds: the document kinds that are welcome here, each with the versions that can be read.

    Raises:
        DocumentError: bad syntax (with its line), no mapping, no schema, or a schema that is not welcome.
    """
    data = _parse(text, source)
    if (large := place_of_large_number(data)) is not None:
        where = ", ".join(filter(None, (_line_of(text, large), _place(large))))
        raise DocumentError(
            source, where, f"it holds a number of {LARGEST.bit_length()} bits or more, as nothing here has"
        )
    if not isinstance(data, dict):
        raise DocumentError(source, "", f"it holds {_kind_of(data)}, not a mapping", _welcome(kinds))
    schema = data.get("schema")
    name, _, version = str(schema).removeprefix("ipexlaunch/").partition("/")
    if not (isinstance(schema, str) and schema.startswith("ipexlaunch/")) or name not in kinds:
        problem = "it has no key 'schema'" if schema is None else f"its schema is {_shortened(schema)}"
        raise DocumentError(source, "", problem, _welcome(kinds))
    if version not in map(str, kinds[name]):
        raise DocumentError(source, _line_of(text, ("schema",)), f"its schema is {_shortened(schema)}", _welcome(kinds))
    return Document(source=source, text=text, data=data, kind=name, version=int(version))


def validate(document: Document, model: type[Model]) -> Model:
    """The document as a model, or the error that names every place where it departs from it.

    Raises:
        DocumentError: the first problem in the order of the file; `problems` has them all.
    """
    try:
        return model.model_validate({key: value for key, value in document.data.items() if key != "schema"})
    except ValidationError as error:
        found = [_problem(document, model, details) for details in error.errors(include_url=False)]
        found.sort(key=lambda problem: problem[0])
        _, where, text, hint = found[0]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        problem = DocumentError(document.source, where, text + more, hint)
        problem.problems = tuple(f"{where}: {text}" + (f"; {hint}" if hint else "") for _, where, text, hint in found)
        raise problem from None


def problem_at(document: Document, path: tuple[str | int, ...], problem: str, hint: str) -> DocumentError:
    """The error for a place that only the values' own rules can find fault with.

    Args:
        document: the document that is at fault.
        path: keys and indexes that lead to the place.
        problem: what is wrong there.
        hint: what would work; empty where nothing can be advised.
    """
    line, place = _line_of(document.text, path), _place(path)
    return DocumentError(document.source, f"{line}, {place}" if line else place, problem, hint)


def dump_yaml(data: Mapping[str, Any]) -> str:
    """YAML for people: keys in the order given, innermost rows on one line each."""
    form: dict[str, Any] = {"sort_keys": False, "default_flow_style": None, "width": 2**20, "allow_unicode": True}
    try:
        text: str = yaml.dump(data, Dumper=_Dumper, **form)
    except UnicodeEncodeError:  # libyaml is given UTF-8, in which bytes that are no text have no form
        text = yaml.dump(data, Dumper=yaml.SafeDumper, **form)
    return text


def dump_json(data: Mapping[str, Any]) -> str:
    """JSON for machines, keys in the order given, ending in a newline; bytes that are no text are escapes."""
    return ascii_escapes(json.dumps(data, indent=1, ensure_ascii=False)) + "\n"


DEEPEST = 64
"""Levels of a document; ours have four."""

MOST_BRACKETS_OPEN = 2000
"""The same where brackets in quoted text are counted too: what is quoted is only guessed before it is parsed."""

_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'""", re.DOTALL)


def _refuse_depth(text: str, source: str) -> None:
    """YAML's C library calls itself for every level and ends the process where there are some ten thousand."""
    lead = re.search(rf"^(?: {{{4 * DEEPEST}}}|[ \t]*(?:[-?:][ \t]+){{{DEEPEST}}})", text, re.MULTILINE)
    if lead or _depth(_QUOTED.sub("", text)) > DEEPEST or _depth(text) > MOST_BRACKETS_OPEN:
        raise _too_deep(source)


def _depth(text: str) -> int:
    """How many brackets are open at once, at most."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth = depth + 1 if bracket in "[{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested deeper than this: what reads them further calls itself for each level.

    Args:
        value: as JSON has it.
        levels: so many are well.
    """
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        parts = (part.values() if isinstance(part, dict) else part for part in level)
        level = [each for part in parts for each in part if isinstance(each, (dict, list))]
        if not level:
            return False
    return bool(level)


def _too_deep(source: str) -> DocumentError:
    return DocumentError(source, "", f"it nests deeper than {DEEPEST} levels, as no document of ours does")


def _parse(text: str, source: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            data = json.loads(text)
        except RecursionError:
            raise _too_deep(source) from None
        except json.JSONDecodeError:
            pass  # a YAML flow mapping begins with a brace too; the YAML parser has the last word
        except ValueError as error:  # a number of thousands of digits
            raise DocumentError(source, "", f"it is not YAML or JSON: {error}") from None
        else:
            if is_deeper(data, DEEPEST):
                raise _too_deep(source)
            return data
    _refuse_depth(text, source)
    try:
        quick = _parse_long_list(text)
        return yaml.load(text, Loader=_loader(text)) if quick is None else quick
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise DocumentError(source, f"line {line}", "it is not UTF-8") from None
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DocumentError(source, where, f"it is not YAML or JSON: {error.problem}") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        # yaml's constructors do not look whether a text can be what an explicit tag calls it ("!!int ''").
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DocumentError(source, "", f"it is not YAML or JSON: {first}") from None


def _loader(text: str) -> Any:
    """libyaml's loader, or the slower one that knows the escapes of bytes that are no text."""
    return yaml.SafeLoader if re.search(r"\\uD[89A-F]", text, re.IGNORECASE) else _Loader


_ROW = r'- \{(?:[a-z]\w*: (?:-?(?:0|[1-9]\d*)|null|true|false|"[^"\\:\n]*")(?:, )?)+\}\n'
_LONG_LIST = re.compile(rf"^([a-z]\w*):\n((?:{_ROW}){{64,}})", re.MULTILINE)
"""A top-level list of plain rows, as we write them; JSON and YAML read such a row alike once its keys are in quotes."""
_KEY = re.compile(r"([{ ])([a-z]\w*): ")


def _as_json(rows: str) -> str:
    """Plain rows as a JSON list; rows that have keys which the first one lacks come out as no JSON."""
    text = rows[2:].rstrip().replace("}\n- {", "},{")
    for before, key in _KEY.findall(rows[: rows.index("\n")]):
        text = text.replace(f"{before}{key}: ", f'{before}"{key}": ')
    return f"[{text}]"


def _parse_long_list(text: str) -> Any:
    """The whole document where it holds one long list of plain rows, else None.

    YAML takes 0.14 s for the 2,048 cpus of a large machine, JSON 5 ms; what is not such a row is left to YAML.
    """
    found = list(_LONG_LIST.finditer(text))
    if len(found) != 1:
        return None
    key, rows = found[0].groups()
    try:
        listed = json.loads(_as_json(rows))
        data = yaml.load(f"{text[: found[0].start()]}{key}: []\n{text[found[0].end() :]}", Loader=_Loader)
    except (ValueError, yaml.YAMLError):
        return None  # the whole text is read again, so that the error names the right line
    if not isinstance(data, dict) or data.get(key) != []:
        return None
    return {**data, key: listed}


def _problem(document: Document, model: type[BaseModel], details: Any) -> tuple[int, str, str, str]:
    """(line, place, problem, hint) of one finding of the validator."""
    path = tuple(details["loc"])
    place = _place(path)
    line = _line_of(document.text, path)
    where = f"{line}, {place}" if line else place
    number = int(line.removeprefix("line ")) if line else 0
    if details["type"] in ("extra_forbidden", "invalid_key") and re.fullmatch(r"[\d-]+", str(path[-1])):
        return number, where, f"{str(path[-1])!r} stands where a key should", 'put lists with commas in quotes: "0-3,8"'
    if details["type"] == "extra_forbidden":
        hint = _nearest(str(path[-1]), _known_keys(model, path[:-1]))
        return number, where, f"unknown key {str(path[-1])!r}", hint
    if details["type"] == "missing":
        return number, where, f"the key {str(path[-1])!r} is missing", ""
    message = details["msg"].removeprefix("Value error, ")
    return number, where, f"{message[0].lower()}{message[1:]}, not {_shortened(details['input'])}", ""


def _known_keys(model: Any, path: tuple[Any, ...]) -> list[str]:
    """Keys of the model that the path leads to, found through the schema so that nesting needs no registry."""
    schema = model.model_json_schema(by_alias=True)
    here: Any = schema
    for step in path:
        here = _resolve(schema, here)
        here = here.get("items", {}) if isinstance(step, int) else here.get("properties", {}).get(step, {})
    return list(_resolve(schema, here).get("properties", {}))


def _resolve(schema: Any, here: Any) -> Any:
    for option in here.get("anyOf", []):
        if option.get("type") != "null":
            return _resolve(schema, option)
    if "$ref" in here:
        return schema["$defs"][here["$ref"].rpartition("/")[2]]
    return here


def _nearest(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known keys are " + ", ".join(known) if known else ""


def _place(path: tuple[Any, ...]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else str(step))
    return text


def _line_of(text: str, path: tuple[Any, ...]) -> str:
    """ "line N" of the place, or of the nearest enclosing place that exists; "" where the text cannot be composed."""
    try:
        node = yaml.compose(text, Loader=_loader(text))
    except (yaml.YAMLError, UnicodeEncodeError):
        return ""
    mark = getattr(node, "start_mark", None)
    for step in path:
        following = None
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            following = node.value[step]
            mark = following.start_mark
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    following, mark = value, key.start_mark
        if following is None:
            break
        node = following
    return f"line {mark.line + 1}" if mark else ""


def _welcome(kinds: Mapping[str, Sequence[int]]) -> str:
    names = [f"ipexlaunch/{kind}/{version}" for kind, versions in kinds.items() for version in versions]
    return f"its first line should be 'schema: {names[0]}'" + "".join(f" or '{name}'" for name in names[1:])


def _kind_of(data: object) -> str:
    return "nothing" if data is None else "a list" if isinstance(data, list) else "plain text"


def _shortened(value: object) -> str:
    import reprlib  # not repr: aliases of aliases can make a small YAML file a huge value

    text = reprlib.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
