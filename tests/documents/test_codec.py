"""Values as plain data and back: nothing is converted in silence, and every mistake is told with its place."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from ipexlaunch.documents.codec import dump_json, from_plain, read_value, to_plain
from ipexlaunch.documents.fields import (
    LATER,
    OMITTED,
    AsList,
    Bounds,
    Checked,
    NonNegativeInt,
    OneOf,
    TextOrInt,
    in_documents,
)
from ipexlaunch.documents.text import dump_yaml, parse_document
from ipexlaunch.errors import DocumentError
from ipexlaunch.machine.cpulist import Ids


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("a pair has no half")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """A part."""

    name: str
    at: float = field(default=0.0, metadata=in_documents(key="at_s"))
    note: str = field(default="", metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class Pair(AsList):
    """Two that stand as a list."""

    cpus: Ids
    many: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """Everything that documents have."""

    whole: int = 0
    number: float = 0.0
    yes: bool = False
    text: str = ""
    kind: Literal["a", "b"] = "a"
    count: NonNegativeInt = 0
    pair: Annotated[int, Checked(_even)] = 0
    choice: Annotated[str, OneOf("x", "y")] = "x"
    words: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()
    cpus: Ids = frozenset()
    maybe: Ids | None = None
    digits: TextOrInt = ""
    by_node: Mapping[int, int] = field(default_factory=dict)
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    inner: Inner | None = None
    parts: Annotated[tuple[Inner, ...], Bounds(min_length=1)] = (Inner(name="one"),)
    pairs: tuple[Pair, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    anything: object = None
    since: str = field(default="", metadata=LATER)
    own: str = field(default="here", metadata=in_documents(key=""))


FULL = Everything(
    whole=1, number=2.5, yes=True, text="t", kind="b", count=3, pair=4, choice="y", words=("p", "q"),
    flags=frozenset({"v", "u"}), cpus=frozenset({0, 1, 2, 8}), maybe=frozenset({5}), digits="007",
    by_node={10: 1, 2: 3}, by_name={"i": Inner(name="n", at=1.5, note="m")}, inner=Inner(name="k"),
    parts=(Inner(name="z"), Inner(name="y", note="w")), pairs=(Pair(frozenset({1, 2}), 3),),
    facts={"deep": [1, {"a": None}]}, anything=[1.5, "x"],
)  # fmt: skip


def document(**data: Any) -> str:
    return dump_yaml({"schema": "ipexlaunch/whole/1", **data})


def read(text: str) -> Everything:
    return read_value(parse_document(text, "w.yaml", {"whole": [1]}), Everything)


def test_a_value_is_its_document() -> None:
    data = to_plain(FULL)
    assert from_plain(data, Everything) == FULL
    assert read(document(**data)) == FULL == read(dump_json({"schema": "ipexlaunch/whole/1", **data}))
    assert data["cpus"] == "0-2,8"
    assert data["maybe"] == "5"
    assert data["flags"] == ["u", "v"]
    assert list(data["by_node"]) == ["2", "10"]
    assert data["by_name"] == {"i": {"name": "n", "at_s": 1.5, "note": "m"}}
    assert data["inner"] == {"name": "k", "at_s": 0.0}
    assert data["pairs"] == [["1-2", 3]]
    assert "own" not in data


def test_what_has_a_default_may_be_missing_and_may_be_left_out() -> None:
    assert from_plain({}, Everything) == Everything()
    assert to_plain(Everything(), sparse=True) == {}
    assert to_plain(Everything(count=2), sparse=True) == {"count": 2}
    assert to_plain(Everything())["maybe"] is None


def test_where_a_document_must_be_complete_only_what_came_later_may_be_missing() -> None:
    whole = to_plain(FULL)
    assert from_plain(whole, Everything, complete=True) == FULL
    assert "note" not in whole["inner"]
    del whole["since"]
    assert from_plain(whole, Everything, complete=True).since == ""
    del whole["count"]
    with pytest.raises(ValueError, match=r"^count: the key 'count' is missing$"):
        from_plain(whole, Everything, complete=True)
    with pytest.raises(ValueError, match=r"^inner.at_s: the key 'at_s' is missing$"):
        from_plain({**to_plain(FULL), "inner": {"name": "a"}}, Everything, complete=True)


def test_what_is_free_is_as_deep_as_it_is() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    value = Everything(facts={"deep": deep}, anything=deep)
    back = from_plain(to_plain(value), Everything)
    assert back.facts["deep"] is deep is back.anything


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("whole", "5", "input should be a valid integer, not '5'"),
        ("whole", 1.9, "input should be a valid integer, not 1.9"),
        ("whole", 1.0, "input should be a valid integer, not 1.0"),
        ("whole", True, "input should be a valid integer, not True"),
        ("whole", None, "input should be a valid integer, not None"),
        ("number", "2.5", "input should be a valid number, not '2.5'"),
        ("number", True, "input should be a valid number, not True"),
        ("number", float("nan"), "input should be a finite number, not nan"),
        ("number", float("inf"), "input should be a finite number, not inf"),
        ("yes", 1, "input should be a valid boolean, not 1"),
        ("yes", "true", "input should be a valid boolean, not 'true'"),
        ("text", 5, "input should be a valid string, not 5"),
        ("text", True, "input should be a valid string, not True"),
        ("kind", "c", "input should be 'a' or 'b', not 'c'"),
        ("count", -1, "input should be greater than or equal to 0, not -1"),
        ("count", "1", "input should be a valid integer, not '1'"),
        ("pair", 3, "a pair has no half, not 3"),
        ("pair", "4", "input should be a valid integer, not '4'"),
        ("choice", "z", "input should be 'x' or 'y', not 'z'"),
        ("words", "pq", "input should be a valid list, not 'pq'"),
        ("words", {"p": 1}, "input should be a valid list, not {'p': 1}"),
        ("words", {"p"}, "input should be a valid list, not {'p'}"),
        ("words", ["p", 5], "words[1]: input should be a valid string, not 5"),
        ("flags", "uv", "input should be a valid list, not 'uv'"),
        ("cpus", [0, 1], 'it should be a list such as "0-13,56-69", not [0, 1]'),
        ("cpus", True, 'it should be a list such as "0-13,56-69", not True'),
        ("cpus", "3-1", "the range '3-1' ends before it begins"),
        ("maybe", 1.5, 'it should be a list such as "0-13,56-69", not 1.5'),
        ("digits", 1.5, "input should be a valid string, not 1.5"),
        ("digits", False, "input should be a valid string, not False"),
        ("by_node", [1], "input should be a valid dictionary, not [1]"),
        ("by_node", {"x": 1}, "input should be a valid integer, not 'x'"),
        ("by_node", {"-1": 1}, "input should be a valid integer, not '-1'"),
        ("by_node", {"9" * 30: 1}, "input should be a valid integer"),
        ("by_node", {1: "1"}, "by_node[1]: input should be a valid integer, not '1'"),
        ("inner", 5, "input should be a valid dictionary, not 5"),
        ("inner", {}, "inner.name: the key 'name' is missing"),
        ("inner", {"name": "a", "at": 1}, "inner.at: unknown key 'at'; did you mean 'at_s'?"),
        ("by_name", {"i": {"nam": 1, "name": "a"}}, "unknown key 'nam'; did you mean 'name'?"),
        ("parts", [], "parts: list should have at least 1 item"),
        ("parts", [{"name": "a", "nöte": 1}], "parts[0].nöte: unknown key 'nöte'; did you mean 'note'?"),
        ("pairs", [{"cpus": "1"}], "pairs[0]: should be a list of cpus, many, not {'cpus': '1'}"),
        ("pairs", [["1", 2, 3]], "pairs[0]: should be a list of cpus, many, not ['1', 2, 3]"),
        ("pairs", [["1", "2"]], "pairs[0].many: input should be a valid integer, not '2'"),
        ("pairs", [[]], "pairs[0].cpus: the key 'cpus' is missing"),
        ("own", "there", "unknown key 'own'"),
        ("facts", [], "input should be a valid dictionary, not []"),
        ("twords", [], "line 2, twords: unknown key 'twords'; did you mean 'words'?"),
        ("0-3", None, "'0-3' stands where a key should; put lists with commas in quotes"),
    ],
)
def test_nothing_is_converted_in_silence(key: str, value: object, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read(document(**{key: value}))
    assert words in str(caught.value)
    assert str(caught.value).startswith("cannot read w.yaml")


def test_all_mistakes_are_told_in_the_order_of_the_file() -> None:
    with pytest.raises(DocumentError, match=r"line 2, text: input .* not 1 \(and 2 more\)") as caught:
        read(document(text=1, nothing=2, parts=[{"note": ""}]))
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "line 2, text",
        "line 3, nothing",
        "line 5, parts[0].name",
    ]


def test_what_has_json_words_for_numbers_by_text_has_them_bare_in_yaml() -> None:
    assert from_plain({"by_node": {10: 1, "2": 3}, "cpus": 5, "digits": 7}, Everything) == Everything(
        by_node={10: 1, 2: 3}, cpus=frozenset({5}), digits="7"
    )
    assert from_plain({"number": 2}, Everything).number == 2.0
    assert from_plain({"pairs": [["3"]]}, Everything).pairs == (Pair(frozenset({3}), 1),)
    with pytest.raises(ValueError, match=r"^inner.nme: unknown key 'nme'; did you mean 'name'\?$"):
        from_plain({"inner": {"name": "a", "nme": 1}}, Everything)


def test_unknown_keys_can_be_passed_over() -> None:
    data = {"schema": "ipexlaunch/whole/1", "new": 1, "inner": {"name": "a", "later": 2}}
    found = read_value(parse_document(json.dumps(data), "w", {"whole": [1]}), Everything, unknown="ignore")
    assert found == Everything(inner=Inner(name="a"))


def test_pydantic_and_yaml_are_loaded_when_something_is_read() -> None:
    program = (
        "import sys; from ipexlaunch.documents.codec import dump_json, to_plain\n"
        "from ipexlaunch.measure.report import read_report\n"
        "from ipexlaunch.plan import Plan\n"
        "dump_json(to_plain(Plan(topology='', instances=())))\n"
        "print({'pydantic', 'pydantic_core', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_the_kernel_says_for_no_limit_is_a_size() -> None:
    assert from_plain({"count": 0x7FFFFFFFFFFFF000}, Everything).count == 0x7FFFFFFFFFFFF000
    with pytest.raises(ValueError, match="count: input should be less than"):
        from_plain({"count": 1 << 63}, Everything)
