"""Tries mutations one after the other and keeps what went wrong."""

from __future__ import annotations

import traceback
from collections import Counter

from ipexlaunch.errors import IpexLaunchError
from tests.fuzz.targets import attempt_of


def fuzz(count: int, seed: int, only: str = "") -> tuple[Counter[str], list[str]]:
    """Try `count` mutations; what came of each target, and the seeds with tracebacks of those that went wrong.

    Args:
        count: how many.
        seed: of the first; each has its own number.
        only: the name of a target; others are passed over.
    """
    results: Counter[str] = Counter()
    wrong = []
    for number in range(seed, seed + count):
        target, random_ = attempt_of(number)
        name = target.__name__
        if only and name != only:
            continue
        try:
            target(random_)
            results[f"{name}: read"] += 1
        except IpexLaunchError as error:
            results[f"{name}: refused"] += 1
            if "\n" in str(error):
                wrong.append(f"seed {number}: a message of several lines: {error}")
        except Exception:
            wrong.append(f"seed {number}:\n{traceback.format_exc()}")
    return results, wrong
