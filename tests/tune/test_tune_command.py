"""`ipexlaunch tune` from its command line to the profile that later runs use; killed in the middle, it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.process

PROGRAM = Path(__file__).with_name("tuned_program.py")
ROOT = Path(__file__).parents[2]


def words(folder: Path, *more: str, fail_at: int = 0) -> list[str]:
    command = [sys.executable, "-m", "ipexlaunch", "tune", "--seconds", "0.6", "--budget", "60s"]
    command += ["--batch-sizes", "1,8,32", "--memory-allocator", "default", "--omp-runtime", "default"]
    command += ["--batch-size-option", "--batch", "--report", str(folder / "tuned.json"), *more]
    return [*command, str(PROGRAM), "--log", str(folder / "starts"), "--fail-at", str(fail_at)]


def variables(folder: Path) -> dict[str, str]:
    places = {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_STATE_HOME": str(folder / "state")}
    return {**os.environ, **places, "PYTHONPATH": str(ROOT)}


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=variables(folder), text=True, capture_output=True, timeout=240)


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "tuned.json").read_text())
    return found


def starts(folder: Path) -> list[str]:
    path = folder / "starts"
    return path.read_text().splitlines() if path.exists() else []


needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it needs two cpus to choose between")


@needs_two_cores
def test_it_finds_the_best_and_later_runs_use_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(words(tmp_path, "--write-plan", "best.yaml", fail_at=32), tmp_path)
    assert done.returncode == 0, done.stderr
    best = report(tmp_path)["best"]
    assert best["batch_size"] == 8
    assert int(best["split"].partition("x")[0]) > 1  # its workers only sleep, so more of them do more
    failed = [row for row in report(tmp_path)["runs"] if row["trouble"]]
    assert {row["setting"]["batch_size"] for row in failed} == {32}
    assert "no memory for a batch of this size" in failed[0]["trouble"]
    assert "did not count" in done.stdout

    count = int(best["split"].partition("x")[0])
    assert (tmp_path / "best.yaml").read_text().count("index:") == count
    before = len(starts(tmp_path))
    monkeypatch.setenv("TUNED_PROGRAM_BATCHES", "150")
    command = [sys.executable, "-m", "ipexlaunch", "run", "--profile", str(PROGRAM)]
    again = run([*command, "--log", str(tmp_path / "starts")], tmp_path)
    assert "profile of " in again.stderr
    assert starts(tmp_path)[before:] == [f"{count} 8"]
    assert "other arguments" in again.stderr  # the search had --fail-at
    assert "one alone: " in done.stderr
    assert starts(tmp_path)[before - 1] == f"{count} 8"  # the first instance alone
    same = [*command, "--log", str(tmp_path / "starts"), "--fail-at", "32"]
    measured = run([*same[:5], "--report", "same.json", *same[5:]], tmp_path)
    found = json.loads((tmp_path / "same.json").read_text())
    assert found["baseline"]["measured"]
    assert found["efficiency"] > 0
    assert "no scaling efficiency" not in measured.stderr
    other = run([*same[:5], "--env", "A=b", *same[5:]], tmp_path)
    assert "no scaling efficiency: the profile knows the rate of one instance alone with other options" in other.stderr
    profile = next((tmp_path / "config").rglob("*.json"))
    precious = profile.read_bytes()
    for path in (profile, profile.with_name(profile.name.removesuffix(".json") + ".plan.yaml")):
        refused = run([*same[:5], "--report", str(path), *same[5:]], tmp_path)
        assert (refused.returncode, "it is the p" in refused.stderr) == (2, True), refused.stderr
    assert profile.read_bytes() == precious
    next((tmp_path / "state").rglob("*.journal")).write_bytes(b'{"op_code": 99}\n')
    damaged = run(words(tmp_path, fail_at=32), tmp_path)
    assert damaged.returncode == 2
    assert "start over with --fresh" in damaged.stderr
    assert "bug" not in damaged.stderr
    contradiction = run([*command[:5], "--ninstances", "1", str(PROGRAM)], tmp_path)
    assert contradiction.returncode == 2
    assert "--ninstances" in contradiction.stderr


@needs_two_cores
def test_killed_in_the_middle_it_goes_on_and_repeats_nothing_that_was_finished(tmp_path: Path) -> None:
    first = subprocess.Popen(words(tmp_path), cwd=tmp_path, env=variables(tmp_path), stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    finished = 0
    for line in first.stderr:
        finished += "items/s" in line
        if finished == 4:
            break
    time.sleep(0.3)  # well into the fifth run
    first.send_signal(signal.SIGKILL)
    rest = first.stderr.read()
    first.wait()
    first.stderr.close()
    finished += rest.count("items/s")

    done = run(words(tmp_path), tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"going on after {finished} runs" in done.stderr
    rows = report(tmp_path)["runs"]
    pairs = Counter((json.dumps(row["setting"]), row["round"]) for row in rows)
    assert set(pairs.values()) == {1}
    # The one that was killed is run again, and at the end one instance of the best alone, if there are several.
    assert len(rows) <= len(starts(tmp_path)) <= len(rows) + 2
    before = len(starts(tmp_path))

    third = run(words(tmp_path), tmp_path)
    assert third.returncode == 0
    assert report(tmp_path)["runs"] == rows
    assert len(starts(tmp_path)) == before


@needs_two_cores
def test_a_budget_that_compares_nothing_leaves_no_profile_and_can_be_raised(tmp_path: Path) -> None:
    command = words(tmp_path, "--write-plan", "best.yaml")
    place = command.index("60s")
    done = run([*command[:place], "0.1s", *command[place + 1 :]], tmp_path)
    assert done.returncode == 4
    last = done.stderr.splitlines()[-1]
    assert "NOT SEARCHED: the budget ended after 1 of " in last
    assert not (tmp_path / "config").exists()
    assert not (tmp_path / "best.yaml").exists()
    enough = last.partition("--budget ")[2].split()[0]
    again = run([*command[:place], enough, *command[place + 1 :]], tmp_path)
    assert again.returncode == 0, again.stderr
    assert "going on after 1 run" in again.stderr
    assert (tmp_path / "best.yaml").exists()


def test_a_program_that_never_works_is_said_to(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('it is broken')\n")
    command = [sys.executable, "-m", "ipexlaunch", "tune", "--seconds", "0.3", "--budget", "20s"]
    command += ["--memory-allocator", "default", "--omp-runtime", "default", str(script)]
    done = run(command, tmp_path)
    assert done.returncode == 4
    assert "nothing ran" in done.stderr
    assert "it is broken" in done.stdout
    assert not (tmp_path / "config").exists()


MISTAKES = [
    (["tune"], "PROGRAM"),
    (["tune", "--model", "random:minilm", "x.py"], "--model"),
    (["tune", "--plan", "p.yaml", "x.py"], "--plan"),
    (["tune", "--live", "x.py"], "--live"),
    (["tune", "--lost-time", "0.5", "x.py"], "--lost-time"),
    (["tune", "--dtype", "bf16", str(PROGRAM)], "--auto-ipex"),
    (["tune", "--budget", "soon", "x.py"], "soon"),
    (["tune", "--batch-sizes", "0,1", "x.py"], "0 is out of range"),
    (["tune", "--batch-sizes", "1,2", str(PROGRAM)], "--batch-size-option"),
    (["tune", str(PROGRAM), "{batch_size}"], "--batch-sizes"),
    (["tune", "missing.py"], "missing.py"),
    (["run", "--profile", str(PROGRAM)], "ipexlaunch tune"),
    (["run", "--profile", "--plan", "p.yaml", str(PROGRAM)], "--plan"),
]


@pytest.mark.parametrize(("arguments", "named"), MISTAKES, ids=[" ".join(a[:4]) for a, _ in MISTAKES])
def test_a_mistake_is_answered_in_one_line(tmp_path: Path, arguments: list[str], named: str) -> None:
    done = run([sys.executable, "-m", "ipexlaunch", *arguments], tmp_path)
    assert done.returncode == 2
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
