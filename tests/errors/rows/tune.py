"""Searches and measured dtypes: studies, profiles and caches that cannot be read or written."""

from __future__ import annotations

import os

from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.models.engines.candidate import REFERENCE
from ipexlaunch.plan.plan import Request
from ipexlaunch.plan.planner import make_plan
from ipexlaunch.tune.dtypes.context import installed_software, store_measurements
from ipexlaunch.tune.dtypes.measure import measure
from ipexlaunch.tune.optuna_study import open_study
from ipexlaunch.tune.profile_store import find_profile, keep_profile, profile_path, write_whole
from ipexlaunch.tune.trial import write_tuning
from tests.errors.provoke import Row, limited
from tests.tune.dtypes.test_measure import JOB, FakeWorkers, measure_context
from tests.tune.test_outcome import OUTCOME, PROFILE
from tests.tune.test_study import SPACE

PLACES = ("tune/",)


def _worker_without_words() -> None:
    run = FakeWorkers({}, "measure_dtypes: cannot load the model x: there is no such directory\n")
    run.exit_code = 2
    measure(measure_context(run), JOB, [REFERENCE])


def _outcome(old: str, new: str) -> Row:
    text = write_tuning(OUTCOME).replace(old, new, 1)
    return Row("report t.json", {"t.json": text})


def _profile_of_others() -> None:
    plan = make_plan(synthetic_machine("2s 1n 4c 1t"), Request(ninstances=4))
    path = profile_path({"XDG_CONFIG_HOME": os.getcwd()}, PROFILE.topology, PROFILE.program)
    keep_profile(path, PROFILE, plan)
    os.chmod(path, 0o666)
    find_profile(path, PROFILE.program)


def _full_disk() -> None:
    study = open_study("x", SPACE)
    limited(os.path.getsize("x"), lambda: study.propose(lambda _: True))


ROWS = [
    Row(lambda: installed_software("/nowhere/python"), name="installed_software(no Python)"),
    Row(lambda: store_measurements("f/d", {"a": 1}, []), {"f": ""}, name="store_measurements(below a file)"),
    Row(_worker_without_words, name="measure(a model that cannot be loaded)"),
    Row(lambda: open_study("f/x", SPACE), {"f": ""}, name="open_study(below a file)"),
    Row(lambda: open_study("x", SPACE), {"x": "garbage\n"}, name="open_study(garbage)"),
    Row("run --profile a.py", {"a.py": ""}, {"XDG_CONFIG_HOME": "config"}),
    Row(_profile_of_others, name="find_profile(one that all may write)"),
    Row(
        lambda: write_whole("f/x", "", "set XDG_CONFIG_HOME to a directory that can be written"),
        {"f": ""},
        name="write_whole(below a file)",
    ),
    Row(_full_disk, name="OptunaStudy.propose(no room)"),
    _outcome('"4x2"', '"9x9"'),
    _outcome('"rate": 101.0', '"rate": 0.0'),
]

ELSEWHERE = {
    "search for the best setting":
        "tests/errors/test_how_to_add.py::test_every_command_that_lacks_a_package_says_how_to_add_it",
}  # fmt: skip
