"""Workers that leave their slice in real multi-node Linux: INVALID, with the instance, the place and the figure."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ipexlaunch.machine.cpulist import parse_list
from tests.guest.driver import MISDEEDS, MISPLACED_SHAPE
from tests.guest.findings import Findings
from tests.guest.shape import SHAPES

pytestmark = [pytest.mark.guest, pytest.mark.parametrize("findings", [MISPLACED_SHAPE], indirect=True)]

INVALID = 4
ELSEWHERE_CPU = max(SHAPES[MISPLACED_SHAPE].online)
ELSEWHERE_NODE = len(SHAPES[MISPLACED_SHAPE].node_sizes_mib) - 1
STRAY_MIB = 64
"""What the misdeeds of memory touch on the other node."""


def instance_with(findings: Findings, misdeed: str) -> dict[str, Any]:
    instance: dict[str, Any] = findings["run_misplaced"]["report"]["instances"][MISDEEDS.index(misdeed)]
    return instance


def reason_of(findings: Findings, misdeed: str) -> str:
    """The one reason that names the instance with this misdeed."""
    start = f"instance {MISDEEDS.index(misdeed)} "
    (reason,) = [text for text in findings["run_misplaced"]["report"]["reasons"] if text.startswith(start)]
    assert isinstance(reason, str)
    return reason


def home(misdeed: str) -> str:
    """The cpus of the plan: one instance on each node, in the order of the nodes."""
    cpus = SHAPES[MISPLACED_SHAPE].online_of_node(MISDEEDS.index(misdeed))
    return f"{min(cpus)}-{max(cpus)}"


def test_the_run_is_invalid_and_each_instance_but_the_one_at_home_has_its_reason(findings: Findings) -> None:
    ran = findings["run_misplaced"]
    assert ran["status"] == ran["report"]["exit_code"] == INVALID, ran["stderr"]
    assert (ran["report"]["valid"], ran["report"]["failures"]) == (False, [])
    assert [instance["exit"] for instance in ran["report"]["instances"]] == [0] * len(MISDEEDS)
    named = [int(reason.split()[1]) for reason in ran["report"]["reasons"]]
    assert named == [index for index, misdeed in enumerate(MISDEEDS) if misdeed != "nothing"]
    assert "INVALID: instance 0 " in ran["stdout"] + ran["stderr"]


@pytest.mark.parametrize(
    ("misdeed", "processes", "daemons"), [("thread", 1, 0), ("child-cpus", 2, 0), ("daemon", 2, 1)]
)
def test_a_thread_a_child_or_a_daemon_that_unpins_itself_is_named_with_its_cpu(
    findings: Findings, misdeed: str, processes: int, daemons: int
) -> None:
    where = f"may run on cpus {ELSEWHERE_CPU}, outside its plan ({home(misdeed)})"
    assert re.search(rf"{re.escape(where)} \(thread \d+ '.*' of process \d+\)", reason_of(findings, misdeed))
    placement = instance_with(findings, misdeed)["placement"]
    assert parse_list(placement["cpus"]) - parse_list(home(misdeed)) == {ELSEWHERE_CPU}
    assert (placement["processes"], placement["daemons"]) == (processes, daemons)


def test_a_child_that_was_elsewhere_and_has_come_back_by_its_mask_only_is_told_so(findings: Findings) -> None:
    wanted = f"ran on cpus {ELSEWHERE_CPU}, outside its plan ({home('been')}), though it may not any more"
    assert reason_of(findings, "been").endswith(wanted)


@pytest.mark.parametrize(
    ("misdeed", "cause"),
    [
        ("policy", "has the policy default; the program or a child has given up the binding"),
        ("mbind", f"has the policy interleave:{ELSEWHERE_NODE}, which the program or a child has set itself"),
        ("child-policy", f"has the policy bind:{ELSEWHERE_NODE} where bind:{MISDEEDS.index('child-policy')} was set"),
    ],
)
def test_memory_on_another_node_is_told_with_its_share_its_size_and_the_cause(
    findings: Findings, misdeed: str, cause: str
) -> None:
    reason, node = reason_of(findings, misdeed), MISDEEDS.index(misdeed)
    memory = instance_with(findings, misdeed)["placement"]["anonymous_bytes"]
    assert memory.keys() == {str(node), str(ELSEWHERE_NODE)}
    assert memory[str(ELSEWHERE_NODE)] == STRAY_MIB << 20
    share = memory[str(node)] / sum(memory.values())
    assert f"has {share:.1%} of its anonymous memory on node {node} (at least 95% wanted)" in reason
    assert f"{STRAY_MIB} MiB elsewhere {cause}" in reason


def test_the_one_that_did_nothing_wrong_is_all_local(findings: Findings) -> None:
    instance = instance_with(findings, "nothing")
    assert (instance["cpus"], instance["local_pages"]) == (home("nothing"), 1.0)
    assert instance["placement"]["cpus"] == home("nothing")
