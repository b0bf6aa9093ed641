"""The space of settings: what is in it, who is a neighbour of whom, what a setting's plan is."""

from __future__ import annotations

from dataclasses import replace

from ipexlaunch.documents.codec import to_plain
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.plan import Request
from ipexlaunch.tune.space import Setting, Space, splits_of

MACHINE = synthetic_machine("2s 1n 4c 2t")
SPACE = Space(
    splits=splits_of(MACHINE, Request()),
    batch_sizes=(1, 8, 64),
    numbers=("torch bf16", "torch fp32"),
    allocators=("tcmalloc", "default"),
    runtimes=("intel", "default"),
    memories=("bind", "interleave"),
)
SETTING = Setting(split="4x2", batch_size=8, numbers="torch bf16", allocator="tcmalloc", runtime="intel", memory="bind")


def test_its_length_is_the_number_of_its_settings() -> None:
    found = list(SPACE.settings())
    assert len(found) == len(set(found)) == len(SPACE)
    assert all(setting in SPACE for setting in found)


def test_a_memory_policy_is_tried_only_where_instances_have_the_memory_of_several_nodes() -> None:
    assert {s.split for s in SPACE.settings() if s.memory == "interleave"} == {"1x8"}
    assert {s.split for s in SPACE.settings() if s.memory == "bind"} == {"1x8", "2x4", "4x2", "8x1"}


def test_neighbours_are_one_step_away_or_one_in_split_and_batch() -> None:
    found = set(SPACE.neighbours(SETTING))
    assert replace(SETTING, split="8x1") in found
    assert replace(SETTING, split="1x8") not in found
    assert replace(SETTING, split="2x4", batch_size=64) in found
    assert replace(SETTING, allocator="default") in found
    assert replace(SETTING, allocator="default", runtime="default") not in found
    assert SETTING not in found
    assert all(setting in SPACE for setting in found)


def test_every_setting_is_reached_over_neighbours() -> None:
    reached, edge = {SETTING}, [SETTING]
    while edge:
        fresh = [other for setting in edge for other in SPACE.neighbours(setting) if other not in reached]
        reached |= set(fresh)
        edge = fresh
    assert len(reached) == len(SPACE)


def test_the_plan_of_a_setting_has_its_policy() -> None:
    one = replace(SETTING, split="1x8", memory="interleave")
    assert [instance.memory for instance in SPACE.plan_of(one).instances] == ["interleave"]
    assert SPACE.plan_of(one).request.memory_policy == "interleave"
    assert [instance.memory for instance in SPACE.plan_of(SETTING).instances] == ["bind"] * 4
    assert SPACE.plan_of(SETTING).request.memory_policy is None


def test_words_leave_out_what_is_not_special() -> None:
    assert SETTING.words == "4x2, batch 8, torch bf16, tcmalloc, intel OpenMP"
    assert Setting(split="1x8", smt=True, memory="interleave").words == "1x8, siblings, memory interleave"


def test_a_setting_comes_back_from_its_row() -> None:
    assert Setting(**to_plain(SETTING)) == SETTING
