"""The naive default of every machine: nearly all allowed cores, or the reason with its figure."""

from __future__ import annotations

import pytest

from tests.plan.naive import ENOUGH, HERE, SAVED, VARIABLE, rows, sources, text


@pytest.mark.parametrize("table", ["shipped", "saved"])
def test_the_default_uses_nearly_every_core_or_says_why_not(table: str) -> None:
    if not sources(table):
        pytest.skip(f"no machines in {SAVED}; name their folder in the environment variable {VARIABLE}")
    for name, share, notes, _ in rows(table):
        reasons = [note for note in notes if f"({int(share * 100)} %)" in note]
        assert share >= ENOUGH or reasons, name
    assert text(table) == (HERE / f"{table}.txt").read_text(encoding="utf-8")
