"""The bar of a measurement: how many candidates are done, which one is tried, what is waited for."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from ipexlaunch.launch.run_record import Snapshot
from ipexlaunch.report.live.cells import TriedCandidate, measuring_bar, tried_candidate
from tests.report.live.snapshots import run_of, worker


def at_work(*busy: str) -> Snapshot:
    workers = [worker(i, phase="starting", busy_with=name, busy_s=12.0) for i, name in enumerate(busy)]
    return replace(run_of(workers), elapsed_s=75.0)


def shown(state: Snapshot, tried: TriedCandidate, width: int = 100) -> str:
    out = StringIO()
    Console(file=out, width=width, no_color=True).print(measuring_bar(state, tried, width=width))
    return out.getvalue().strip()


def test_the_slowest_worker_says_how_far_it_is() -> None:
    state = at_work("measuring torch bf16 (3 of 4)", "preparing torch int8 x bf16 (2 of 4)")
    tried = tried_candidate(state, TriedCandidate())
    assert tried == TriedCandidate("torch int8 x bf16 (2 of 4)", 2, 4)


def test_what_is_tried_stays_known_while_a_worker_waits() -> None:
    tried = tried_candidate(at_work("preparing openvino bf16 (2 of 4)"), TriedCandidate())
    state = at_work("waiting for compilation")
    assert tried_candidate(state, tried) == tried
    assert shown(state, tried).endswith("openvino bf16 (2 of 4), waiting for compilation, 12 s; 1:15 in all")


@pytest.mark.parametrize("width", [20, 40, 60, 100])
def test_it_is_one_line_at_any_width(width: int) -> None:
    state = at_work("preparing openvino int8-calibrated x bf16 (2 of 4)")
    text = shown(state, tried_candidate(state, TriedCandidate()), width)
    assert len(text.splitlines()) == 1
    assert len(text) <= width
