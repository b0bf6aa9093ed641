from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.errors.beside_limit import beside_limit

figures = st.floats(min_value=-1e6, max_value=1e6)


def test_a_figure_has_as_many_decimals_as_it_takes() -> None:
    assert beside_limit(0.9931, 0.995) == "0.9931"
    assert beside_limit(0.99496, 0.995) == "0.99496"
    assert beside_limit(100.04, 100.0, 1) == "100.04"
    assert beside_limit(94.96, 95.0, 1) == "94.96"
    assert beside_limit(float("nan"), 0.995) == "nan"


@given(figures, figures)
def test_what_is_read_is_on_the_same_side_of_the_limit(found: float, limit: float) -> None:
    read = float(beside_limit(found, limit))
    assert (read < limit, read > limit) == (found < limit, found > limit)
