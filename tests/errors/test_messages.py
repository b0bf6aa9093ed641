"""Every message of an error is shown by a row of the table, in one line that says what was wanted, is there, and works.

`python -m tests.errors` prints the table. A place of the source that no row reaches fails its part of the table, and so
does a row whose line is none of ours.
"""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

from ipexlaunch import errors
from tests.errors.find_sites import Site, all_sites
from tests.errors.provoke import Outcome, provoke

ROOT = Path(__file__).resolve().parents[2]
PARTS = sorted(path.stem for path in (Path(__file__).parent / "rows").glob("[a-z]*.py"))

NOT_OURS = ("serve/", "cli/serve", "cli/options/serve")
"""Shown by tests of its own."""

IN_THE_CHECKOUT = re.compile(r"\b(?:docs|tests|tools|examples|benchmarks|topologies)/|README|CONTRIBUTING|CHANGELOG")
"""What somebody who has installed the package lacks."""

WORKS = re.compile(
    r"; |\bgive\b|\btakes\b|\bwrite e\.g\.|\bsuch as\b|\bleave out\b|\bneeds\b|\bthere are\b|\bsay which\b|\bMissing\b"
    r"|-1 \(every core\)"
)
"""Words of a complaint about the command line that say what would work; the way to --help stands behind."""


def part(name: str) -> ModuleType:
    """A part of the table."""
    return importlib.import_module(f"tests.errors.rows.{name}")


def outcomes(name: str) -> list[Outcome]:
    """What the rows of a part lead to, each in a directory of its own."""
    found = []
    for row in part(name).ROWS:
        folder = Path(tempfile.mkdtemp(prefix="ipexlaunch-errors-"))
        try:
            found.append(provoke(row, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return found


def wrong_with(line: str, error: BaseException) -> str:
    """What is wrong with a line that says an error; "" where nothing is."""
    if IN_THE_CHECKOUT.search(line):
        return "it speaks of a file that an installed package has not"
    if isinstance(error, errors.UsageError) or not isinstance(error, errors.IpexLaunchError):
        return "" if WORKS.search(line) else "it does not say what would work"
    if not re.match(r"ipexlaunch: cannot .+?: .", line):
        return "it does not say what was wanted and what is there"
    return "" if error.hint else "it does not say what would work"


@pytest.mark.process
@pytest.mark.parametrize("name", PARTS)
def test_every_message_is_printed_in_one_line_that_says_what_would_work(name: str) -> None:
    sites = all_sites()
    hit: set[Site] = set()
    problems = []
    for outcome in outcomes(name):
        found = outcome.hit(sites)
        hit |= found
        if not found:
            problems.append(f"{outcome.row}: no message of ours is printed: {outcome.said[-500:]!r}")
        if not outcome.code:
            problems.append(f"{outcome.row}: its exit code is 0")
        problems += [f"{line}\n    {why}" for line, error in outcome.errors_said() if (why := wrong_with(line, error))]
    elsewhere = part(name).ELSEWHERE
    missing = [str(site) for site in sites if site.path.startswith(part(name).PLACES) and site not in hit]
    problems += [f"no row shows {each}" for each in missing if not any(words in each for words in elsewhere)]
    problems += [f"no place is {words!r}" for words in elsewhere if not any(words in each for each in missing)]
    assert not problems, "\n".join(problems)


def test_every_place_belongs_to_a_part_of_the_table() -> None:
    places = tuple(place for name in PARTS for place in part(name).PLACES)
    assert [str(site) for site in all_sites() if not site.path.startswith((*places, *NOT_OURS))] == []


@pytest.mark.parametrize("name", PARTS)
def test_what_no_row_can_show_is_shown_by_a_test_that_is_there(name: str) -> None:
    for words, node in part(name).ELSEWHERE.items():
        path, _, function = node.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert any(isinstance(each, ast.FunctionDef) and each.name == function for each in tree.body), (words, node)


def test_a_place_that_nobody_shows_is_found(tmp_path: Path) -> None:
    names = [str(site) for site in all_sites()]
    assert len(names) > 400
    assert any("plan/planner.py:_listed_slices: PlanError({wanted} | the list names" in name for name in names)
    assert sys.version_info >= (3, 10)
