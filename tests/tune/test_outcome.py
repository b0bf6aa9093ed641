"""What a search leaves behind: its document, the table of what was tried, the profile, the plan beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipexlaunch.errors import DocumentError, RequestError
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.plan_file import read_plan
from ipexlaunch.report.tables.tuning_tables import tuning_text
from ipexlaunch.tune.profile import Profile, SoloRate, read_profile, write_profile
from ipexlaunch.tune.profile_store import find_profile, keep_profile, plan_path, profile_path, study_path
from ipexlaunch.tune.space import Setting
from ipexlaunch.tune.trial import Outcome, Trial, read_tuning, write_tuning

BEST, NEXT, BRIEF, BAD = (Setting(split=name, batch_size=8) for name in ("4x2", "2x4", "1x8", "8x1"))
HISTORY = [
    Trial(setting=BRIEF, seconds=1, rate=50.0, latency_ms=9.0),
    Trial(setting=BAD, seconds=1, trouble="instance 3 ended with exit code 5"),
    *(
        Trial(setting=s, seconds=5, round=n, rate=rate + n, latency_ms=4.0, peak_bytes=3_000_000)
        for n in (1, 2, 3)
        for s, rate in ((BEST, 100.0), (NEXT, 90.0))
    ),
]
PROFILE = Profile(
    topology="0123456789abcdef",
    program="script:/x/y.py",
    arguments=("--batch", "{batch_size}"),
    setting=BEST,
    engine="torch",
    dtype="int8",
    quantization="dynamic",
    rate=12.5,
    runs=40,
    written="2026-01-01T00:00:00Z",
)


LEFT_OUT = "could not be tried: torch fp32: its worker ended badly: Killed"
OUTCOME = Outcome(best=BEST, why="it is decided", settings=60, runs=tuple(HISTORY), left_out=(LEFT_OUT,))
DATA = Path(__file__).parents[1] / "data"


def test_the_table_has_the_best_first_and_says_what_failed() -> None:
    head, _, *lines = tuning_text(OUTCOME).splitlines()
    assert head == "8 runs of 4 of 60 settings, 0 s"
    assert lines[2].split() == ["4x2,", "batch", "8", "3", "102.0", "100", "%", "4.00", "3", "best"]
    assert lines[3].startswith("2x4, batch 8")
    assert "90." in lines[3]
    assert "±" in lines[3]
    assert lines[4].endswith("short runs only")
    assert lines[5] == "did not count: 8x1, batch 8: instance 3 ended with exit code 5"


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_line_is_too_long(width: int) -> None:
    many = [Trial(setting=Setting(split=f"{n}x1"), seconds=1, rate=float(n)) for n in range(1, 40)]
    text = tuning_text(replace(OUTCOME, runs=(*HISTORY, *many)), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "slower settings" in text


def test_a_search_in_which_nothing_ran_still_says_why() -> None:
    text = tuning_text(Outcome(best=None, why="nothing ran", settings=60, runs=(HISTORY[1],)))
    assert text.endswith("settings, 0 s\n\ndid not count: 8x1, batch 8: instance 3 ended with exit code 5\n")


def test_an_outcome_comes_back_from_its_text() -> None:
    text = write_tuning(OUTCOME)
    assert text.startswith('{\n "schema": "ipexlaunch/tuning/1"')
    assert read_tuning(text, "t.json") == OUTCOME
    nothing = Outcome(best=None, why="nothing ran", settings=4, runs=())
    assert read_tuning(write_tuning(nothing), "t.json") == nothing


def test_an_outcome_of_version_1_loads_for_ever() -> None:
    outcome = read_tuning((DATA / "tuning-v1.json").read_text(), "tuning-v1.json")
    assert outcome.best == Setting(split="2x1", batch_size=32, numbers="ipex bf16")
    assert outcome.rate == 250.0
    assert [run.counts for run in outcome.runs] == [True, False, True]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [('"why"', '"while"', "why"), ('"rate": 50.0', '"rate": "fast"', "rate"), ('"4x2"', '"9x9"', "no run has this"),
     ("tuning/1", "tuning/2", "tuning/2"), ('"rate": 50.0', '"rate": 1e-300', "a rate is 0 or at least 1e-09"),
     ('"peak_bytes": 0', f'"peak_bytes": 1{"0" * 400}', "peak_bytes"),
     ('"rate": 101.0', '"rate": 0.0', "does not count"), ('"seconds": 5', '"seconds": NaN', "seconds")],
)  # fmt: skip
def test_an_outcome_with_a_mistake_is_refused_with_its_place(old: str, new: str, named: str) -> None:
    with pytest.raises(DocumentError, match=named):
        read_tuning(write_tuning(OUTCOME).replace(old, new, 1), "t.json")


def test_a_profile_comes_back_from_its_text() -> None:
    assert read_profile(write_profile(PROFILE), "p.json") == PROFILE
    known = replace(
        PROFILE, solo=SoloRate(rate=60.5, items=121, seconds=2.0, conditions="abc", measured="2026-01-02T00:00:00Z")
    )
    assert read_profile(write_profile(known), "p.json") == known


def test_a_profile_of_version_1_loads_for_ever() -> None:
    profile = read_profile((DATA / "profile-v1.json").read_text(), "profile-v1.json")
    assert profile.setting == Setting(split="4x7", batch_size=32, allocator="tcmalloc", runtime="intel")
    assert (profile.arguments, profile.rate, profile.solo) == (("--batch", "{batch_size}"), 1234.5, None)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [('"rate"', '"rats": 1, "rate"', "rats"), ('"4x2"', "7", "split"), ("profile/1", "profile/9", "profile/9")],
)
def test_a_profile_with_a_mistake_is_refused_with_its_place(old: str, new: str, named: str) -> None:
    with pytest.raises(DocumentError, match=named):
        read_profile(write_profile(PROFILE).replace(old, new), "p.json")


def test_a_profile_and_its_plan_are_found_again(tmp_path: Path) -> None:
    plan = make_plan(synthetic_machine("2s 1n 4c 1t"), Request(ninstances=4))
    path = profile_path({"XDG_CONFIG_HOME": str(tmp_path)}, PROFILE.topology, PROFILE.program)
    with pytest.raises(RequestError, match="ipexlaunch tune"):
        find_profile(path, PROFILE.program)
    keep_profile(path, PROFILE, plan)
    assert find_profile(path, PROFILE.program) == PROFILE
    assert read_plan(Path(plan_path(path)).read_text(), "plan") == plan
    assert sorted(each.name for each in Path(path).parent.iterdir()) == sorted(
        [Path(path).name, Path(plan_path(path)).name]
    )


def test_places_follow_the_xdg_variables() -> None:
    home = {"HOME": "/home/me"}
    assert profile_path(home, "a", "b").startswith("/home/me/.config/ipexlaunch/profiles/a-")
    assert study_path(home, "k").startswith("/home/me/.local/state/ipexlaunch/studies/")
    assert study_path({**home, "XDG_STATE_HOME": "relative"}, "k") == study_path(home, "k")
    assert profile_path(home, "a", "b") != profile_path(home, "a", "c")
