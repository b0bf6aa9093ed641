"""JSON that every language reads alike comes back as it was; what only Python reads is an error that says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.documents.read_text import DEEPEST, read_json, read_message

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.booleans())
def test_what_every_language_can_write_is_read(value: object, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped).encode()
    assert read_json(text) == read_message(text) == value


@given(VALUES, st.sampled_from(["1e309", "-1e400", "NaN", "Infinity", '"\\ud83d"', '"\\uDE00x"', '{"k":1,"k":1}']))
def test_what_it_does_not_hold_is_found_wherever_it_stands(value: object, odd: str) -> None:
    text = json.dumps([value, "HERE", {"deep": [value]}]).replace('"HERE"', odd)
    with pytest.raises(ValueError, match=r"no JSON|larger|half a character|twice"):
        read_json(text.encode())


@given(st.integers(1, 2000), st.booleans())
def test_a_value_is_as_deep_as_it_may_be_whoever_reads_it(levels: int, of_objects: bool) -> None:
    begin, end = ('{"a":', "}") if of_objects else ("[", "]")
    text = (begin * levels + "1" + end * levels).encode()
    if levels <= DEEPEST:
        read_json(text)
    else:
        with pytest.raises(ValueError, match="more than 512 deep"):
            read_json(text)


@pytest.mark.parametrize("text", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000])
def test_no_depth_ends_the_process(text: bytes) -> None:
    for read in (read_json, read_message):
        with pytest.raises(ValueError, match="deep"):
            read(text)


def test_many_lists_beside_each_other_are_not_deep() -> None:
    text = json.dumps([[n, {"a": [n]}] for n in range(5000)]).encode()
    assert read_json(text) == json.loads(text)
