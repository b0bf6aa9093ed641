"""What Optuna keeps for us: every run, through the end of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.errors import LaunchError
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.plan import Request
from ipexlaunch.tune.optuna_study import open_study
from ipexlaunch.tune.space import Setting, Space, splits_of
from ipexlaunch.tune.trial import Trial

SPACE = Space(splits=splits_of(synthetic_machine("2s 1n 4c 1t"), Request()), batch_sizes=(1, 8, 64))
RUNS = [
    Trial(setting=Setting(split="2x4", batch_size=8), seconds=1.0, rate=10.0, latency_ms=2.0, peak_bytes=7),
    Trial(setting=Setting(split="8x1", batch_size=8), seconds=1.0, trouble="instance 0 was killed"),
    Trial(setting=Setting(split="2x4", batch_size=8), seconds=5.0, round=1, rate=11.0, proposed=True),
]
OPEN = """
import sys
from tests.tune.test_study import RUNS, SPACE
from ipexlaunch.tune.optuna_study import open_study
study = open_study(sys.argv[1], SPACE)
for run in RUNS[len(study.history):][:2]:
    study.record(run)
print(len(study.history), flush=True)
sys.stdin.read()
"""


def another_process(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OPEN, str(path)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.process
def test_runs_outlive_their_process(tmp_path: Path) -> None:
    path = tmp_path / "studies" / "one.journal"
    other = another_process(path)
    assert other.stdout is not None
    assert other.stdout.readline() == "2\n"
    other.kill()
    other.communicate()
    with path.open("a") as file:
        file.write('{"op_code": 4, "half a li')  # what a kill in the middle of a write leaves
    study = open_study(str(path), SPACE)
    assert list(study.history) == RUNS[:2]
    study.record(RUNS[2])
    assert list(study.history) == RUNS


def test_proposals_are_welcome_ones_and_the_same_for_the_same_history() -> None:
    def proposals() -> list[Setting]:
        study = open_study("", SPACE, seed=3)
        found = []
        for number in range(12):
            setting = study.propose(lambda setting: setting in SPACE)
            assert setting is not None
            assert setting in SPACE
            study.record(Trial(setting=setting, seconds=1.0, rate=1.0 + number))
            found.append(setting)
        return found

    assert proposals() == proposals()
    assert open_study("", SPACE).propose(lambda _: False) is None


def test_it_learns_which_settings_are_fast() -> None:
    study = open_study("", SPACE, seed=1)
    for each in SPACE.settings():
        study.record(Trial(setting=each, seconds=1.0, rate=float(each.batch_size)))
    found = []
    for _ in range(20):
        setting = study.propose(lambda setting: setting in SPACE)
        assert setting is not None
        found.append(setting.batch_size)
        study.record(Trial(setting=setting, seconds=1.0, rate=float(setting.batch_size)))
    assert found.count(64) > len(found) / 2


def test_a_journal_can_be_begun_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "a.journal")
    first = another_process(Path(path))
    assert first.stdout is not None
    first.stdout.readline()
    first.communicate("")
    assert open_study(path, SPACE, fresh=True).history == ()


def test_a_journal_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.journal"
    path.write_text("this is no journal\n")
    with pytest.raises(LaunchError, match="--fresh"):
        open_study(str(path), SPACE)


def damaged(good: bytes) -> list[bytes]:
    """A journal with what was not written by us."""
    lines = good.splitlines(keepends=True)
    strange = (
        b"{}\n",
        b"[]\n",
        b"null\n",
        b"garbage\n",
        b"\xff\n",
        b'{"op_code": 99}\n',
        b'{"op_code":4,"study_id":7}\n',
    )
    return [
        *(lines[0] + line + b"".join(lines[1:]) for line in strange),
        good.replace(b'"rate":10.0', b'"rate":"fast"'),
        good.replace(b'"split":"2x4"', b'"split":"9x9"'),
        good.replace(b'"setting"', b'"seeting"'),
    ]


def test_a_damaged_journal_is_an_error_that_says_what_to_do_and_fresh_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "one.journal"
    subprocess.run(
        [sys.executable, "-c", OPEN, str(path)], cwd=Path(__file__).parents[2], check=True, timeout=120, input=b""
    )
    good = path.read_bytes()
    for number, bad in enumerate(damaged(good)):
        assert bad != good
        other = tmp_path / f"{number}.journal"
        other.write_bytes(bad)
        with pytest.raises(LaunchError, match=r"start over with --fresh") as raised:
            open_study(str(other), SPACE)
        assert "\n" not in str(raised.value)
    lines = good.splitlines(keepends=True)
    for lost in range(len(lines) - 1):
        path.write_bytes(b"".join(lines[:lost] + lines[lost + 1 :]))
        with pytest.raises(LaunchError, match=r"\((line 1 begins no study|run 0 is missing).*start over with --fresh"):
            open_study(str(path), SPACE)
        assert path.read_bytes() == b"".join(lines[:lost] + lines[lost + 1 :])
    path.write_bytes(b"garbage\n" + b"".join(lines[1:]))
    with pytest.raises(LaunchError, match="line 1 is none of a study"):
        open_study(str(path), SPACE)
    path.write_bytes(b"garbage\n")
    assert list(open_study(str(path), SPACE, fresh=True).history) == []
