"""Plan files: what is written is read back, and each mistake is told with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipexlaunch.errors import DocumentError, IpexLaunchError
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.plan_file import read_checked_plan, read_plan, write_plan
from tests.plan.machines import machine
from tests.plan.requests import requests
from tests.strategies import topologies

TOPOLOGY = machine([8, 8], threads=2)
TEXT = write_plan(make_plan(TOPOLOGY, Request(ninstances=4)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.booleans())
def test_what_is_written_is_read_back(data: st.DataObject, as_json: bool) -> None:
    topology = data.draw(topologies())
    request = data.draw(requests(topology))
    try:
        plan = make_plan(topology, request)
    except IpexLaunchError:
        return
    text = write_plan(plan, as_json)
    assert read_checked_plan(text, "plan", topology) == plan
    assert as_json == text.startswith("{")


def test_the_file_is_one_line_per_instance() -> None:
    lines = TEXT.splitlines()
    assert lines[0] == "schema: ipexlaunch/plan/1"
    assert lines[3] == "instances:"
    assert lines[4] == '- {index: 0, cpus: "0-3", nodes: "0", memory: bind, threads: 4}'
    assert len(lines) == 4 + 4 + 1


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('"4-7"', '"4-8"', "line 6, instances[1].cpus", ["equal", "instance 1 has 5 cores", "greedy: true"]),
        ('"4-7"', '"3-6"', "line 6, instances[1].cpus", ["cpu 3", "instance 0 has it already"]),
        ('"4-7"', '"4-6,19"', "line 6, instances[1].cpus", ["cpu 19", "core 3, which serves instance 0"]),
        ('"4-7"', '"4-6,99"', "line 6, instances[1].cpus", ["99", "do not exist", "0-31"]),
        ('"4-7"', '"7-4"', "line 6, instances[1].cpus", ["ends before it begins"]),
        ('"4-7"', "4-5,14-15", "line 6", ["put lists with commas in quotes"]),
        ('nodes: "1"', 'nodes: "7"', "line 7, instances[2].nodes", ["nodes 7", "0-1"]),
        ("memory: bind", "memory: bnd", "line 5, instances[0].memory", ["'bnd'"]),
        ("threads: 4", "thread: 4", "line 5", ["threads"]),
        ("index: 1", "index: 7", "line 6, instances[1].index", ["write 1"]),
        ("{ninstances: 4}", "{ninstances: 5}", "line 4, instances", ["5 instances", "there are 4"]),
        ("{ninstances: 4}", "{ninstance: 4}", "line 3, request.ninstance", ["did you mean 'ninstances'"]),
        ('"16-31"', '"16-30"', "line 9, idle_cpus", ['write "16-31"']),
        ("plan/1", "plan/2", "line 1", ["ipexlaunch/plan/1"]),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, line: str, words: list[str]) -> None:
    assert old in TEXT
    with pytest.raises(DocumentError) as caught:
        read_checked_plan(TEXT.replace(old, new), "my.yaml", TOPOLOGY)
    told = str(caught.value) + " ".join(caught.value.problems)
    for word in ["my.yaml", line, *words]:
        assert word in told


def test_a_plan_of_another_machine_is_refused_unless_forced() -> None:
    other = machine([8, 8, 8], threads=2, allowed=frozenset(range(16)))
    with pytest.raises(DocumentError, match="it was made for machine"):
        read_checked_plan(write_plan(make_plan(machine([8, 8]), Request())), "plan", other)
    text = write_plan(make_plan(machine([8, 8]), Request())).replace('idle_cpus: ""', 'idle_cpus: ""')
    assert read_checked_plan(text, "plan", other, any_machine=True) == read_plan(text, "plan")


def test_forcing_does_not_help_where_cpus_are_missing() -> None:
    with pytest.raises(DocumentError, match="do not exist"):
        read_checked_plan(TEXT, "plan", machine([4, 4]), any_machine=True)


def test_an_edited_plan_may_be_unequal_if_it_says_so() -> None:
    edited = TEXT.replace('"4-7"', '"4-6"').replace('"16-31"', '"7,16-31"').replace("{ninstances: 4}", "{greedy: true}")
    plan = read_checked_plan(edited, "plan", TOPOLOGY)
    assert [len(instance.cpus) for instance in plan.instances] == [4, 3, 4, 4]


def test_json_and_yaml_hold_the_same() -> None:
    plan = make_plan(TOPOLOGY, Request(groups=("1x4@node0", "2x2"), memory_policy="interleave"))
    assert json.loads(write_plan(plan, as_json=True))["request"] == {
        "groups": ["1x4@node0", "2x2"],
        "memory_policy": "interleave",
    }
    assert read_plan(write_plan(plan), "plan") == plan
