"""Limits of cgroups, v1 and v2, from trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipexlaunch.doctor.finding import Evidence
from ipexlaunch.doctor.host_facts import MemoryLimit
from ipexlaunch.doctor.host_files_read import Unavailable
from ipexlaunch.doctor.read import read_memory_limit, read_throttling
from tests.doctor.trees import write_tree

TOP = "/sys/fs/cgroup"
LEVELS = ["sys/fs/cgroup/job/step", "sys/fs/cgroup/job", "sys/fs/cgroup"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({}, None),
        ({"/job/memory.max": "max\n"}, None),
        ({"/job/memory.max": "4096\n", "/job/step/memory.max": "max\n"}, MemoryLimit(TOP + "/job/memory.max", 4096)),
        (
            {"/job/memory.max": "4096\n", "/job/step/memory.max": "8192\n"},
            MemoryLimit(TOP + "/job/memory.max", 4096),
        ),
        ({"/job/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({"/job/memory.limit_in_bytes": "65536\n"}, MemoryLimit(TOP + "/job/memory.limit_in_bytes", 65536)),
        ({"/job/memory.max": "lots\n"}, Unavailable(TOP + "/job/memory.max", "it holds no limit")),
        ({"/job/memory.max": b"\0\1\2"}, Unavailable(TOP + "/job/memory.max", "it is not text")),
    ],
)
def test_the_tightest_limit_of_all_levels_counts(
    tmp_path: Path, texts: dict[str, str | bytes], expected: MemoryLimit | Unavailable | None
) -> None:
    root = write_tree(tmp_path, {TOP + path: text for path, text in texts.items()})
    assert read_memory_limit(root, LEVELS) == expected


def test_how_often_a_quota_stopped_somebody_stands_beside_it(tmp_path: Path) -> None:
    stat = "usage_usec 5\nnr_periods 10\nnr_throttled 4\nthrottled_usec 900\n"
    root = write_tree(tmp_path, {TOP + "/job/cpu.stat": stat, TOP + "/cpu.stat": "usage_usec 5\n"})
    files = ["sys/fs/cgroup/job/cpu.max", "sys/fs/cgroup/cpu.max", "sys/fs/cgroup/gone/cpu.max"]
    assert list(read_throttling(root, files)) == [
        Evidence(TOP + "/job/cpu.stat", "nr_throttled 4, throttled_usec 900"),
        Evidence(TOP + "/gone/cpu.stat", "it is missing"),
    ]
