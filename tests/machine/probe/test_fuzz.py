from __future__ import annotations

import os

from tests.machine.probe.fuzz import KINDS, fuzz

COUNT = int(os.environ.get("IPEXLAUNCH_FUZZ_COUNT", "1000"))


def test_mutations_end_in_a_machine_or_an_error_for_users() -> None:
    results, wrong = fuzz(COUNT, seed=20261121)
    assert wrong == []
    for kind, _ in KINDS:
        assert results[f"{kind.__name__}: read"], "some mutations must be harmless, or nothing is tried"
        assert results[f"{kind.__name__}: refused"], "some must be refused, or nothing is broken"
