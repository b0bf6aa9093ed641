"""The policy in numa_maps: of trees, and of this process against get_mempolicy."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipexlaunch.doctor.read import NUMA_MAPS, read_inherited_policy
from ipexlaunch.errors import BindError
from ipexlaunch.launch import bind
from tests.doctor.trees import write_tree

LINES = """\
55e5 default file=/usr/bin/stack mapped=2 N0=2 kernelpagesize_kB=4
7f32 {policy} anon=1 dirty=1 N0=1 kernelpagesize_kB=4
7ffc {policy} stack anon=3 dirty=3 N1=3 kernelpagesize_kB=4
"""


@pytest.mark.parametrize("policy", ["default", "bind:0", "interleave:0-1", "prefer:1"])
def test_the_policy_of_the_stack_is_that_of_the_process(tmp_path: Path, policy: str) -> None:
    root = write_tree(tmp_path, {NUMA_MAPS: LINES.format(policy=policy)})
    assert read_inherited_policy(root) == policy


@pytest.mark.parametrize("text", ["", "junk\n\n", LINES.replace("stack anon", "anon").format(policy="bind:0")])
def test_a_table_without_a_stack_tells_nothing(tmp_path: Path, text: str) -> None:
    assert read_inherited_policy(write_tree(tmp_path, {NUMA_MAPS: text})) == ""
    assert read_inherited_policy(str(tmp_path / "none")) == ""


def test_this_process_is_told_the_same_by_both_ways() -> None:
    try:
        node = frozenset({min(bind.memory_policy()[1], default=0)})
        with bind.held_to(frozenset(), "bind", node, strict=True):
            assert read_inherited_policy() == f"bind:{min(node)}"
    except (OSError, BindError) as error:
        pytest.skip(f"the kernel refuses memory policies here: {error}")
    assert read_inherited_policy() == "default"
