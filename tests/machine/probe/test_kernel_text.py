from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.machine.cpulist import format_list, parse_ids, parse_mask, parse_number, printable, shortened
from tests.sysfs_writer import mask

IDS = st.frozensets(st.integers(0, 9000))


@given(IDS)
def test_lists_and_masks_say_the_same(ids: frozenset[int]) -> None:
    assert parse_ids(format_list(ids)) == ids
    assert parse_mask(mask(ids)) == ids


@given(st.text(alphabet="0123456789,-abf() nul\n\x00é٣"))
def test_anything_is_ids_or_a_value_error(text: str) -> None:
    said: list[str] = []
    for parse in (parse_ids, parse_mask):
        try:
            ids = parse(text)
        except ValueError as error:
            said.append(str(error))
        else:
            assert min(ids, default=0) >= 0
    assert all(words.startswith("it holds ") for words in said)


@pytest.mark.parametrize("text", ["", "(null)"])
def test_a_set_that_was_never_made_is_empty(text: str) -> None:
    assert parse_ids(text) == frozenset()


def test_masks_of_machines_whose_size_is_no_multiple_of_32() -> None:
    assert parse_mask("ffff,00000001") == {0, *range(32, 48)}
    assert parse_mask("0") == frozenset()
    assert parse_mask("(null)") == frozenset()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3-1", "the range '3-1', which ends before it begins"),
        ("1,,2", "'', which is no id or range"),
        ("-1", "'-1', which is no id or range"),
        ("0-", "'0-', which is no id or range"),
        ("0-3:1/2", "'0-3:1/2', which is no id or range"),
        ("99999999", "'99999999', which is larger than any id"),
        ("0-9999999", "'9999999', which is larger than any id"),
        ("٣", "'٣', which is no id or range"),
    ],
)
def test_what_is_no_list_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"it holds {words}")):
        parse_ids(text)


@pytest.mark.parametrize("text", ["", "0x1", "1_0", "fff,ffff", "000000000", "1,000000000", "-1", "g", "1, 00000000"])
def test_what_is_no_mask_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="which is no mask"):
        parse_mask(text)


def test_numbers() -> None:
    assert parse_number(b"-1\n") == -1
    assert parse_number(b" 42 \n") == 42
    for data in (b"", b"-", b"1.5", b"1_0", b"0x10", b"1" * 21, b"\xff"):
        with pytest.raises(ValueError, match="no whole number"):
            parse_number(data)


def test_long_or_strange_text_is_quoted_so_that_it_fits_a_line() -> None:
    assert shortened("x" * 50) == repr("x" * 37 + "...")
    assert printable("a\x1b[31m\udcff é") == r"a\x1b[31m\udcff é"
