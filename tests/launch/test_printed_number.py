"""Numbers as programs print them: the table of docs/worker-protocol.md, and its kinds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.launch.throughput_regex import Doubt, Finding, read_number, read_rule

WHOLE = [
    ("1000", 1000), ("1,234", 1234), ("1.234", 1234), ("12,345,678", 12345678), ("12.345.678", 12345678),
    ("1'234'567", 1234567), ("1\u2019234", 1234), ("1_234", 1234), ("1 234", 1234), ("1\u202f234\u202f567", 1234567),
    ("1\u00a0234", 1234), ("12.0", 12), ("12,0", 12), ("5.", 5), ("1,234.0", 1234), ("1.234,0", 1234), ("1e3", 1000),
    ("1.5e+03", 1500), ("1.234e3", 1234), ("+7", 7), (" 7 ", 7), ("007", 7), ("999,999", 999999), ("0", 0),
]  # fmt: skip

RATES = [
    ("12,5", 12.5), ("12.5", 12.5), ("1,234.5", 1234.5), ("1.234,5", 1234.5), ("1,234,567", 1234567),
    ("1.234.567", 1234567), ("1.234", 1.234), ("0,123", 0.123), ("0.123", 0.123), ("1234,567", 1234.567),
    ("1234.567", 1234.567), (".5", 0.5), ("1,234.567", 1234.567), ("1.234,567", 1234.567), ("1'234.5", 1234.5),
    ("1 234,5", 1234.5), ("1_234.5", 1234.5), ("1,5e3", 1500), ("12,50", 12.5), ("12,3456", 12.3456), ("1'234", 1234),
    ("12.5,", 12.5),
]  # fmt: skip

NONE = [
    "", "many", "-3", "inf", "nan", "1e300", "1e999", "1,23,456", "1,2.5", "12,34.5", "1.234,567.8", "1,234.567,8",
    "1_00", "1'23", "1 2", "1,,234", "1..2", ",", ".", "1.5k", "50%", "0x10", "1/2", "1,234'567.8", "1 234_567", "1e",
    "1'234.567.890", "1e1.5",
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), WHOLE)
def test_whole_numbers(text: str, value: float) -> None:
    assert read_number(text, whole=True) == value


@pytest.mark.parametrize(("text", "value"), RATES)
def test_rates(text: str, value: float) -> None:
    assert read_number(text, whole=False) == value


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_number_or_could_be_two(text: str) -> None:
    assert read_number(text, whole=True) is None
    assert read_number(text, whole=False) is None


def test_a_comma_before_three_digits_of_a_rate_could_be_either() -> None:
    assert read_number("1,234", whole=False) is None
    assert read_number("12,500", whole=False) is None


@given(st.integers(0, 10**12), st.sampled_from([",", ".", "'", "_", " ", "\u202f"]))
def test_thousands_are_read_whatever_separates_them(number: int, sign: str) -> None:
    assert read_number(f"{number:,}".replace(",", sign), whole=True) == number


@given(
    st.floats(0, 1e9).map(lambda value: round(value, 2)),
    st.sampled_from([(",", "."), (".", ","), ("'", "."), (" ", ",")]),
)
def test_two_decimals_are_read_whatever_separates_them(number: float, signs: tuple[str, str]) -> None:
    text = f"{number:,.2f}".translate({ord(","): signs[0], ord("."): signs[1]})
    assert read_number(text, whole=False) == pytest.approx(number)


@given(st.text(st.sampled_from("0123456789.,' _eE+-k%"), max_size=12), st.booleans())
def test_no_text_is_an_error(text: str, whole: bool) -> None:
    value = read_number(text, whole=whole)
    assert value is None or value >= 0


ITEMS, TOTAL, RATE = r"did (?P<items>\d+)", r"processed (?P<total>\d+)", r"(?P<rate>[\d.,]+)\s*it/s"

COUNTED = [
    (RATE, "12,5 it/s", 12.5),
    (RATE, "99.8it/s", 99.8),
    (RATE, "\x1b[1m\x1b[32m12.5\x1b[0m it/s", 12.5),
    (ITEMS, "\x1b[31mdid \x1b[1m32\x1b[0m images", 32),
    (ITEMS, "\x1b]8;;http://x/7\x1b\\did 32\x1b]8;;\x07", 32),
    (ITEMS, "did 32, then rested", 32),
    (ITEMS, "did 32.", 32),
    (ITEMS, "did 32...", 32),
    (ITEMS, "did 32 images", 32),
    (ITEMS, "did 32images", 32),
    (ITEMS, "did 32 kittens", 32),
    (ITEMS, "did 32 k-means runs", 32),
    (r"(?P<items>\d+)x\d+ tiles", "3x4 tiles", 3),
    (ITEMS, "did 32 7 more", 32),
    (r"(?P<total>\d+)/\d+ \[", " 50%|#####     | 500/1000 [00:05<00:05, 99.8it/s]", 500),
    (r"^\d+,(?P<items>\d+),", "3,32,0.5", 32),
    (r"^(?P<items>\d+),\d+", "1234,567", 1234),
    (r"n=(?P<items>[\d,]+)", "n=32, m=5", 32),
    (r"(?P<items>[\d,]+) images", "1,024 images", 1024),
    (r"(?P<items>[\d.,' ]*\d) images", "12 500 images", 12500),
    (r"epoch \d+ (?P<items>\d+) images", "epoch 3 128 images", 128),
    (r"(?P<items>\d+) images", "[0] 128 images", 128),
    (r"(?P<items>\d+) images", "2026-01-02 10:23:01 128 images", 128),
]  # fmt: skip

DOUBTED = [
    (TOTAL, "processed 1,000"),
    (TOTAL, "processed 1.000"),
    (TOTAL, "processed 1'000"),
    (TOTAL, "processed 1_000"),
    (TOTAL, "processed 1 000"),
    (TOTAL, "processed 1\u202f000"),
    (TOTAL, "processed 1.5k"),
    (TOTAL, "processed 15k"),
    (TOTAL, "processed 3M"),
    (TOTAL, "processed 1 k"),
    (TOTAL, "processed 3 M rows"),
    (TOTAL, "processed 0x1f"),
    (TOTAL, "processed 3Mi"),
    (TOTAL, "processed 10B"),
    (TOTAL, "processed 5m"),
    (TOTAL, "processed 50%"),
    (TOTAL, "processed 50 %"),
    (TOTAL, "processed 1e3"),
    (TOTAL, "processed \x1b[1m1\x1b[0m,000"),
    (r"processed (?P<total>\d+).*", "processed 1,000 items"),
    (r"processed (?P<total>\d)", "processed 10"),
    (r"(?P<items>\d+) images", "1,000 images"),
    (r"(?P<items>\d+) images", "did 1 000 images"),
    (r"(?P<items>\d\d\d) images", "1234 images"),
    (r"(?P<rate>[\d.]+)", "1.5k it/s"),
    (r"(?P<rate>[\d.]+)", "1.50kit/s"),
    (r"(?P<rate>[\d.]+)k it/s", "1.5k it/s"),
    (r"(?P<rate>\d+)", "12.5 it/s"),
    (r"(?P<rate>\d+).* it/s", "12.5 it/s"),
    (RATE, "1,234 it/s"),
    (r"(?P<rate>\S+) it/s", "1.5k it/s"),
    (r"(?P<items>\d+) and (?P<tokens>\d+)", "8 and 1,024"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "line", "number"), COUNTED)
def test_lines_that_count(expression: str, line: str, number: float) -> None:
    assert read_rule(expression).read(line) == Finding(number)


@pytest.mark.parametrize(("expression", "line"), DOUBTED)
def test_lines_that_are_doubted_are_shown(expression: str, line: str) -> None:
    found = read_rule(expression).read(line)
    assert isinstance(found, Doubt)
    assert not found.hopeless
    plain = line.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert repr(plain) in found.reason


def test_an_expression_that_backtracks_is_given_up() -> None:
    found = read_rule(r"(a+)+b(\d+)").read("a" * 4000)
    assert isinstance(found, Doubt)
    assert found.hopeless
    assert "takes too long" in found.reason
