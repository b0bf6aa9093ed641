"""Holds a part of the table against the places of the source that it is for."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from types import ModuleType

from ipexlaunch import errors
from tests.errors.find_sites import Site, all_sites
from tests.errors.provoke import Outcome, provoke

IN_THE_CHECKOUT = re.compile(r"\b(?:docs|tests|tools|examples|benchmarks|topologies)/|README|CONTRIBUTING|CHANGELOG")
"""What somebody who has installed the package lacks."""

WHOLE_PATH = re.compile(r"(?<!\S)['(]?/\S+")
"""Of something that is there, whatever its folders are called."""

WORKS = re.compile(
    r"; |\bgive\b|\btakes\b|\bwrite e\.g\.|\bsuch as\b|\bleave out\b|\bneeds\b|\bthere are\b|\bsay which\b|\bMissing\b"
    r"|-1 \(every core\)"
)
"""Words of a complaint about the command line that say what would work; the way to --help stands behind."""


def outcomes(part: ModuleType) -> list[Outcome]:
    """What the rows of a part lead to, each in a directory of its own.

    Args:
        part: a module of rows.
    """
    found = []
    for row in part.ROWS:
        folder = Path(tempfile.mkdtemp(prefix="ipexlaunch-errors-"))
        try:
            found.append(provoke(row, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return found


def wrong_with(line: str, error: BaseException) -> str:
    """What is wrong with a line that says an error; "" where nothing is."""
    if IN_THE_CHECKOUT.search(WHOLE_PATH.sub("", line)):
        return "it speaks of a file that an installed package has not"
    if isinstance(error, errors.UsageError) or not isinstance(error, errors.IpexLaunchError):
        return "" if WORKS.search(line) else "it does not say what would work"
    if not re.match(r"ipexlaunch: (?:\S+, [^:]+: )?cannot .+?: .", line):
        return "it does not say what was wanted and what is there"
    return "" if error.hint else "it does not say what would work"


def problems_of(part: ModuleType) -> list[str]:
    """What is wrong with a part: places that no row shows, and lines that do not say what they should.

    Args:
        part: a module of rows.
    """
    sites = all_sites()
    hit: set[Site] = set()
    problems = []
    for outcome in outcomes(part):
        found = outcome.hit(sites)
        hit |= found
        if not found:
            problems.append(f"{outcome.row}: no message of ours is printed: {outcome.said[-500:]!r}")
        if not outcome.code:
            problems.append(f"{outcome.row}: its exit code is 0")
        problems += [f"{line}\n    {why}" for line, error in outcome.errors_said() if (why := wrong_with(line, error))]
    elsewhere = [*part.ELSEWHERE, *getattr(part, "UNSHOWN", ())]
    missing = [str(site) for site in sites if site.path.startswith(part.PLACES) and site not in hit]
    problems += [f"no row shows {each}" for each in missing if not any(words in each for words in elsewhere)]
    problems += [f"no place is {words!r}" for words in elsewhere if not any(words in each for each in missing)]
    return problems
