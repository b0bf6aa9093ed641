"""The list syntax of numactl, taskset and vLLM."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.errors import IpexLaunchError, PlanError, RequestError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.notation import check_syntax, parse_id_list
from tests.plan.machines import machine

ALLOWED = frozenset({*range(4, 12), 40})
PRESENT = frozenset(range(64))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("4-7", "4-7"),
        (" 4 , 6 ", "4,6"),
        ("4-11:2", "4,6,8,10"),
        ("all", "4-11,40"),
        ("!5", "4,6-11,40"),
        ("!5,6", "4,7-11,40"),
        ("4-11,!6", "4-5,7-11"),
        ("all,!40", "4-11"),
        ("+0-3", "4-7"),
        ("+8", "40"),
        ("+0,+8", "4,40"),
        ("!+0-1", "6-11,40"),
        ("4-5|40", "4-5,40"),
    ],
)
def test_a_list_means_these_ids(text: str, ids: str) -> None:
    assert format_list(parse_id_list(text, "--cores-list", "cpu", ALLOWED, PRESENT).ids) == ids


@pytest.mark.parametrize(
    "text", ["", " ", ",", "3-1", "a", "1,,2", "-1", "4-", "4:2", "4-8:0", "4-8:x", "!", "4|", "|4", "+", "+9", "0x4"]
)
def test_malformed_lists_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_id_list(text, "--cores-list", "cpu", ALLOWED, PRESENT)
    assert f"--cores-list {text!r}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "3-1", "a", "4-8:0", "!", "4|"])
def test_syntax_is_checked_without_a_machine(text: str) -> None:
    with pytest.raises(RequestError):
        check_syntax(text, "--cores-list")


def test_absent_and_denied_cpus_are_told_apart() -> None:
    with pytest.raises(PlanError, match="cpu 99 does not exist or is offline and cpu 3 is not allowed here"):
        parse_id_list("3,4,99", "--cores-list", "cpu", ALLOWED, PRESENT)


@given(st.text(alphabet="0123456789,-:!+|al ", max_size=12))
def test_any_text_is_a_list_or_a_refusal(text: str) -> None:
    try:
        found = parse_id_list(text, "--cores-list", "cpu", ALLOWED, PRESENT)
    except IpexLaunchError:
        return
    assert found.ids <= ALLOWED
    assert found.ids
    assert found.named <= found.ids


def test_one_list_for_each_instance_is_taken_as_it_stands() -> None:
    topology = machine([8, 8], threads=2)
    plan = make_plan(topology, Request(cores_list="0-3,16-19|8-15"))
    assert [format_list(instance.cpus) for instance in plan.instances] == ["0-3,16-19", "8-15"]
    assert [instance.threads for instance in plan.instances] == [8, 8]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(cores_list="0-3|3-5"), ["'0-3' and '3-5' share core 3"]),
        (Request(cores_list="0|16"), ["share core 0"]),
        (Request(cores_list="0-3|4-7", ninstances=3), ["3 instances", "names 2 instances"]),
        (Request(cores_list="0-3|4-6", ncores_per_instance=4), ["'4-6' names 3 cores"]),
        (Request(cores_list="0-3|4-7", reserve_cores=1), ["--cores-list with '|'", "--reserve-cores"]),
    ],
)
def test_lists_of_instances_that_cannot_be_are_refused(request_: Request, words: list[str]) -> None:
    with pytest.raises(IpexLaunchError) as caught:
        make_plan(machine([8, 8], threads=2), request_)
    for word in words:
        assert word in str(caught.value)
