"""The quick way to a table without colours gives what rich gives."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from ipexlaunch.machine.wording import table_text

CELLS = st.text(alphabet="ab0,-", max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=4), st.sampled_from([(), ("b",), ("a", "c")]))
def test_the_quick_table_is_the_one_that_rich_draws(rows: list[list[str]], right: tuple[str, ...]) -> None:
    heads = ["a", "b", "c"]
    quick = table_text(heads, rows, right=right)
    colored = table_text(heads, rows, right=right, color=True)
    drawn = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert quick == "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"
