from __future__ import annotations

import os

from tests.fuzz.campaign import fuzz
from tests.fuzz.targets import ALWAYS_READ, TARGETS

COUNT = int(os.environ.get("IPEXLAUNCH_FUZZ_COUNT", "1000"))


def test_mutations_are_understood_or_refused_in_one_line() -> None:
    results, wrong = fuzz(COUNT, seed=20261129)
    assert wrong == []
    for target, _ in TARGETS:
        name = target.__name__
        tried = results[f"{name}: read"] + results[f"{name}: refused"]
        assert tried, f"{name} was never tried"
        if name not in ALWAYS_READ and tried >= 50:
            assert results[f"{name}: refused"], f"nothing is broken by {name}"
