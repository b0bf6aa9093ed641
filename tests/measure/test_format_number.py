"""Numbers in tables have no exponents, and small ones do not vanish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.documents.visible_text import format_number


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0.000"), (0.00012, "0.00012"), (0.0212, "0.021"), (0.5, "0.500"), (1.234, "1.23"),
     (12.34, "12.3"), (3710.0, "3710"), (1.23e7, "12300000")],
)  # fmt: skip
def test_figures_are_short_and_plain(value: float | None, text: str) -> None:
    assert format_number(value) == text


@given(st.floats(1e-12, 1e12))
def test_a_figure_is_near_its_number(value: float) -> None:
    text = format_number(value)
    assert "e" not in text
    assert abs(float(text) - value) <= 0.05 * value
