"""The figures as Prometheus sees them, and the page that documents them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from ipexlaunch.report.live.metrics import families
from tests.report.live.snapshots import IDENTITY, eventful

UNITS = ("_seconds", "_bytes", "_ratio", "_total", "_info")
WITHOUT_UNIT = {
    "ipexlaunch_instance_phase",
    "ipexlaunch_items_per_second",
    "ipexlaunch_busy_cpus",
    "ipexlaunch_exit_code",
}


class Fixed:
    """A collector of one moment."""

    def collect(self) -> Iterator[Metric]:
        snapshot, usages = eventful()
        yield from families("night", IDENTITY, snapshot, usages)


def exposed() -> str:
    registry = CollectorRegistry()
    registry.register(Fixed())
    return generate_latest(registry).decode()


def names() -> set[str]:
    return {sample.name for family in text_string_to_metric_families(exposed()) for sample in family.samples}


def test_the_page_documents_every_figure_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs/running.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(ipexlaunch_\w+)` \|", page, re.MULTILINE))
    assert documented == names()


def test_names_end_in_their_base_unit() -> None:
    assert {name for name in names() if not name.endswith(UNITS)} == WITHOUT_UNIT


def test_a_worker_has_the_figures_of_its_snapshot() -> None:
    lines = exposed().splitlines()
    for line in (
        'ipexlaunch_items_total{index="7",run="night"} 1.23456789e+09',
        'ipexlaunch_instance_phase{index="5",phase="exited",run="night"} 1.0',
        'ipexlaunch_instance_phase{index="5",phase="running",run="night"} 0.0',
        'ipexlaunch_exit_code{index="5",run="night"} 139.0',
        'ipexlaunch_restarts_total{index="2",run="night"} 2.0',
        'ipexlaunch_memory_bytes{index="0",node="1",run="night"} 5.24288e+06',
        'ipexlaunch_proportional_memory_bytes{index="1",run="night"} 6.815744e+08',
        'ipexlaunch_instance_info{cpus="0-13",index="0",memory="bind",nodes="0",run="night"} 1.0',
        'ipexlaunch_failures_total{run="night"} 2.0',
    ):
        assert line in lines
    assert not [line for line in lines if line.startswith("ipexlaunch_exit_code") and 'index="0"' in line]
    assert not [line for line in lines if line.startswith("ipexlaunch_local_memory_ratio") and 'index="6"' in line]
