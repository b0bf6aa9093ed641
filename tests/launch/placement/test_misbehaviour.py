"""What a worker may do wrong on this machine, and what the run says of it; other nodes are tried in guests."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs a cpu outside the slice"),
]
ROOT = Path(__file__).resolve().parents[3]


def run(misdeed: str, tmp_path: Path) -> dict[str, Any]:
    first = min(os.sched_getaffinity(0))
    file = tmp_path / "report.json"
    argv = [sys.executable, "-m", "ipexlaunch", "run", "--ninstances", "1", "--cores-list", str(first)]
    argv += ["--report", str(file), str(Path(__file__).with_name("misbehave.py")), misdeed]
    ran = subprocess.run(
        argv, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    report: dict[str, Any] = json.loads(file.read_text())
    assert ran.returncode == report["exit_code"], ran.stderr
    return report


@pytest.mark.parametrize(
    ("misdeed", "processes", "daemons"), [("cpus", 1, 0), ("thread", 1, 0), ("child-cpus", 2, 0), ("daemon", 2, 1)]
)
def test_a_worker_whose_threads_children_or_daemons_leave_their_cpus_makes_the_run_invalid(
    misdeed: str, processes: int, daemons: int, tmp_path: Path
) -> None:
    report = run(misdeed, tmp_path)
    assert (report["valid"], report["exit_code"]) == (False, 4)
    (reason,) = report["reasons"]
    assert "instance 0 may run on cpus" in reason
    assert "outside its plan" in reason
    placement = report["instances"][0]["placement"]
    assert (placement["looks"], placement["processes"], placement["daemons"]) == (2, processes, daemons)


def test_a_child_that_was_elsewhere_before_the_look_makes_the_run_invalid(tmp_path: Path) -> None:
    report = run("been", tmp_path)
    assert (report["valid"], report["exit_code"]) == (False, 4)
    (reason,) = report["reasons"]
    assert reason.startswith("instance 0 ran on cpus ")
    assert reason.endswith(", though it may not any more")


def test_one_that_does_nothing_wrong_is_valid_and_its_placement_is_shown(tmp_path: Path) -> None:
    report = run("nothing", tmp_path)
    assert (report["valid"], report["exit_code"], report["warnings"]) == (True, 0, [])
    (instance,) = report["instances"]
    placement = instance["placement"]
    assert placement["cpus"] == placement["last_cpus"] == instance["cpus"]
    assert (placement["looks"], placement["page_looks"], placement["crowded_looks"]) == (2, 2, 0)
    assert sum(placement["anonymous_bytes"].values()) > 32 << 20
    assert placement["main_thread_cpus"] == instance["cpus"]
