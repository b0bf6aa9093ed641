"""Workers in cgroups of their own, in a real kernel: nothing leaves, nothing is left, and why where it cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.guest.confined_view import SHAPE
from tests.guest.findings import view_of

SECONDS = 1500.0
"""Three minutes where nobody else works."""

pytestmark = [pytest.mark.guest, pytest.mark.slow]

SLICES = {"0": "0-1", "1": "2-3"}
NO_ENTRY = "Invalid argument"


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    return view_of("confined_view", SHAPE, SECONDS)


def valid(ran: dict[str, Any]) -> dict[str, Any]:
    """The report of a run that was VALID."""
    assert ran["status"] == 0, ran["stderr"]
    report: dict[str, Any] = ran["report"]
    assert (report["valid"], report["reasons"]) == (True, [])
    assert [each["local_pages"] for each in report["instances"]] == [1.0] * len(report["instances"])
    return report


def confined(ran: dict[str, Any], left: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The instances of a VALID run of which each had a cgroup, and of which none is left but those of others."""
    instances: list[dict[str, Any]] = valid(ran)["instances"]
    for instance in instances:
        folder, name = instance["cgroup"].rsplit("/", 1)
        assert (name, folder.rpartition("/")[2].startswith("ipexlaunch-")) == (str(instance["index"]), True)
    assert ran["left"] == list(left)
    return instances


@pytest.mark.parametrize("way", ["root", "user", "namespace", "refused_policy", "preferred"])
def test_no_thread_child_or_daemon_gets_a_cpu_outside_its_slice_and_the_run_is_valid(
    seen: dict[str, Any], way: str
) -> None:
    for instance in confined(seen[way]):
        facts, slice_ = instance["facts"], SLICES[str(instance["index"])]
        assert facts["cgroup"] == str(instance["index"])
        assert (facts["everywhere"], facts["elsewhere"], facts["daemon"]) == (slice_, NO_ENTRY, slice_)
        assert facts["taskset"] != 0


@pytest.mark.parametrize("way", ["root", "user", "namespace"])
def test_no_memory_policy_can_name_another_node(seen: dict[str, Any], way: str) -> None:
    answers = [instance["facts"]["policies"] for instance in confined(seen[way])]
    assert answers == [["accepted", NO_ENTRY], [NO_ENTRY, "accepted"]]


def test_memory_stays_on_its_node_where_a_filter_refuses_every_policy(seen: dict[str, Any]) -> None:
    for instance in confined(seen["refused_policy"]):
        assert (instance["memory"], instance["facts"]["policies"]) == ("none", ["Operation not permitted"] * 2)


def test_a_policy_that_may_spill_may_do_so(seen: dict[str, Any]) -> None:
    for instance in confined(seen["preferred"]):
        assert instance["facts"]["policies"] == ["accepted", "accepted"]


def test_a_user_needs_a_delegated_cgroup_alone_and_its_accounts_hold_the_workers(seen: dict[str, Any]) -> None:
    ran = seen["user"]
    assert all("/job/" in instance["cgroup"] for instance in confined(ran))
    assert ran["kind"] == "domain"
    assert ran["peak"] > 2 * 16 << 20


def test_what_an_administrator_changes_meanwhile_is_said(seen: dict[str, Any]) -> None:
    for way, now in (("widened", ("0-3", "0-3")), ("narrowed", ("0", "2"))):
        confined(seen[way])
        for (index, slice_), cpus in zip(SLICES.items(), now, strict=True):
            text = f"instance {index}: somebody changed its cgroup from cpus {slice_} to {cpus} while it ran"
            assert text in seen[way]["report"]["warnings"]


def test_a_cgroup_that_vanished_is_made_again_for_the_next_attempt(seen: dict[str, Any]) -> None:
    [instance] = confined(seen["vanished"])
    assert (instance["facts"]["cgroup"], instance["facts"]["cpus"]) == ("0", "0-3")


def test_the_run_goes_on_without_and_says_so_where_it_cannot_be_made_again(seen: dict[str, Any]) -> None:
    report = valid(seen["all_vanished"])
    assert "cgroup" not in report["instances"][0]
    [text] = [text for text in report["warnings"] if "cgroup" in text]
    assert text.startswith("instance 0: not confined by a cgroup: /sys/fs/cgroup/ipexlaunch-")
    assert text.endswith(": No such file or directory")
    assert seen["all_vanished"]["left"] == []


def test_nothing_is_left_of_a_run_whose_launcher_was_killed(seen: dict[str, Any]) -> None:
    killed = seen["killed"]
    assert killed["daemon"] == "0-3"
    assert len(killed["inside"]["0"]) == 2, "the worker and its daemon"
    assert (killed["alive"], killed["left"], killed["handed_down"]) == ([], [], [])


def test_a_run_beside_another_leaves_that_ones_cgroups_alone(seen: dict[str, Any]) -> None:
    beside = seen["killed"]["beside"]
    assert len(beside["left"]) == 1
    confined(beside, tuple(beside["left"]))
    assert beside["handed_down"] == ["cpuset"]


def test_a_confined_worker_can_be_a_launcher_that_confines(seen: dict[str, Any]) -> None:
    instances = confined(seen["nested"])
    assert [instance["facts"]["everywhere"] for instance in instances] == ["2", "3"]
    assert [instance["cgroup"].count("/ipexlaunch-") for instance in instances] == [2, 2]


def test_the_next_run_removes_what_one_has_left_whose_guardian_was_killed_too(seen: dict[str, Any]) -> None:
    confined(seen["leftover"])
    assert not seen["leftover"]["dead"]


@pytest.mark.parametrize(
    "way", ["root", "widened", "vanished", "all_vanished", "nested", "killed", "leftover", "batch"]
)
def test_the_launchers_cgroup_is_as_it_was(seen: dict[str, Any], way: str) -> None:
    assert seen[way]["handed_down"] == []


def test_batch_confines_too(seen: dict[str, Any]) -> None:
    assert len(seen["batch"]["rows"]) == 20
    confined(seen["batch"])


def test_tune_confines_its_trials(seen: dict[str, Any]) -> None:
    assert seen["tune"]["status"] == 0, seen["tune"]["stderr"]
    assert seen["tune"]["left"] == []


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("read_only", "/sys/fs/cgroup/cgroup.subtree_control: Read-only file system"),
        ("unmounted", "cgroup v2 is not mounted"),
        ("hidden", "/sys/fs/cgroup: the cgroup of this process is not visible here"),
        ("undelegated", "/sys/fs/cgroup/elsewhere/cgroup.subtree_control: Permission denied"),
    ],
)
def test_where_there_can_be_no_cgroup_the_run_goes_on_and_says_why(seen: dict[str, Any], way: str, why: str) -> None:
    report = valid(seen[way])
    assert f"workers are bound, but not confined by cgroups: {why}" in report["warnings"]
    assert "cgroup" not in report["instances"][0]


def test_with_yes_it_is_an_error_before_anything_runs(seen: dict[str, Any]) -> None:
    ran = seen["undelegated_yes"]
    assert (ran["status"], ran["report"]) == (2, None)
    assert "cannot confine workers by cgroups: /sys/fs/cgroup/elsewhere/cgroup.subtree_control: Per" in ran["stderr"]
