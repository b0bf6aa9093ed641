"""Reading and writing YAML or JSON text: syntax, schema version, validation with the line of each problem.

A document is a mapping whose first key is `schema`, "ipexlaunch/KIND/VERSION". Unknown keys are errors.
"""

from __future__ import annotations

import difflib
import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipexlaunch.errors import DocumentError

LARGEST = 1 << 128
"""Beyond every count, size and counter of a kernel."""

FREE = "facts"
"""Under this key stands what workers say of themselves, whatever it is; it is never computed with."""


def place_of_large_number(data: Any) -> tuple[str | int, ...] | None:
    """The keys and indexes that lead to a number that is too large; None where there is none.

    Args:
        data: of JSON or YAML, in which parts may stand more than once.
    """
    seen: set[int] = set()
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, int) and abs(value) >= LARGEST:
            return path
        if not isinstance(value, (dict, list)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, list):
            waiting += (((*path, number), each) for number, each in enumerate(value))
            continue
        for key, each in value.items():
            if isinstance(key, int) and abs(key) >= LARGEST:
                return path
            if key != FREE:
                waiting.append(((*path, key), each))
    return None


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
        where = ", ".join(filter(None, (line_of(text, large), place_of(large))))
        raise DocumentError(
            source, where, f"it holds a number of {LARGEST.bit_length()} bits or more, as nothing here has", CORRECT
        )
    if not isinstance(data, dict):
        raise DocumentError(source, "", f"it holds {_kind_of(data)}, not a mapping", _welcome(kinds))
    schema = data.get("schema")
    name, _, version = str(schema).removeprefix("ipexlaunch/").partition("/")
    if not (isinstance(schema, str) and schema.startswith("ipexlaunch/")) or name not in kinds:
        problem = "it has no key 'schema'" if schema is None else f"its schema is {shortened(schema)}"
        raise DocumentError(source, "", problem, _welcome(kinds))
    if version not in map(str, kinds[name]):
        raise DocumentError(source, line_of(text, ("schema",)), f"its schema is {shortened(schema)}", _welcome(kinds))
    return Document(source=source, text=text, data=data, kind=name, version=int(version))


def problem_at(document: Document, path: tuple[str | int, ...], problem: str, hint: str) -> DocumentError:
    """The error for a place that only the values' own rules can find fault with.

    Args:
        document: the document that is at fault.
        path: keys and indexes that lead to the place.
        problem: what is wrong there.
        hint: what would work; empty where nothing can be advised.
    """
    line, place = line_of(document.text, path), place_of(path)
    return DocumentError(document.source, f"{line}, {place}" if line else place, problem, hint or CORRECT)


def dump_yaml(data: Mapping[str, Any]) -> str:
    """YAML for people: keys in the order given, innermost rows on one line each."""
    import yaml

    form: dict[str, Any] = {"sort_keys": False, "default_flow_style": None, "width": 2**20, "allow_unicode": True}
    try:
        text: str = yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), **form)
    except UnicodeEncodeError:  # libyaml is given UTF-8, in which bytes that are no text have no form
        text = yaml.dump(data, Dumper=yaml.SafeDumper, **form)
    return text


CORRECT = "correct it there"
"""What would work where a document was edited into something that is none."""

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


_LONG_NUMBER = "it holds a number of thousands of digits"
"""Python converts no more than 4,300 of them."""


def _too_deep(source: str) -> DocumentError:
    return DocumentError(source, "", f"it nests deeper than {DEEPEST} levels, as no document of ours does", CORRECT)


def _parse(text: str, source: str) -> Any:
    if text.lstrip().startswith("{"):
        try:
            data = json.loads(text)
        except RecursionError:
            raise _too_deep(source) from None
        except json.JSONDecodeError:
            pass  # a YAML flow mapping begins with a brace too; the YAML parser has the last word
        except ValueError:
            raise DocumentError(source, "", _LONG_NUMBER, CORRECT) from None
        else:
            if is_deeper(data, DEEPEST):
                raise _too_deep(source)
            return data
    import yaml

    _refuse_depth(text, source)
    try:
        quick = _parse_long_list(text)
        return yaml.load(text, Loader=_loader(text)) if quick is None else quick
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise DocumentError(source, f"line {line}", "it is not UTF-8", "save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DocumentError(source, where, f"it is not YAML or JSON: {error.problem}", CORRECT) from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        # yaml's constructors do not look whether a text can be what an explicit tag calls it ("!!int ''").
        first = (str(error).splitlines() or [type(error).__name__])[0]
        what = f"it is not YAML or JSON: a value does not fit its tag ({first})"
        if first.startswith("Exceeds the limit"):
            what = _LONG_NUMBER
        raise DocumentError(source, "", what, CORRECT) from None


def _loader(text: str) -> Any:
    """libyaml's loader, or the slower one that knows the escapes of bytes that are no text."""
    import yaml

    escaped = re.search(r"\\uD[89A-F]", text, re.IGNORECASE)
    return yaml.SafeLoader if escaped else getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
    import yaml

    found = list(_LONG_LIST.finditer(text))
    if len(found) != 1:
        return None
    key, rows = found[0].groups()
    try:
        listed = json.loads(_as_json(rows))
        data = yaml.load(f"{text[: found[0].start()]}{key}: []\n{text[found[0].end() :]}", Loader=_loader(""))
    except (ValueError, yaml.YAMLError):
        return None  # the whole text is read again, so that the error names the right line
    if not isinstance(data, dict) or data.get(key) != []:
        return None
    return {**data, key: listed}


def nearest(key: str, known: list[str]) -> str:
    """Advice for whoever wrote a key that is not known."""
    close = difflib.get_close_matches(key, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known keys are " + ", ".join(known) if known else ""


def place_of(path: tuple[Any, ...]) -> str:
    """Keys and indexes as people write them, such as "cpus[2].core"."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else str(step))
    return text


def line_of(text: str, path: tuple[Any, ...]) -> str:
    """ "line N" of the place, or of the nearest enclosing place that exists; "" where the text cannot be composed."""
    import yaml

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


def shortened(value: object) -> str:
    """The value as it can stand in a message."""
    text = reprlib.repr(value)  # not repr: aliases of aliases can make a small YAML file a huge value
    return text if len(text) <= 60 else text[:57] + "..."
