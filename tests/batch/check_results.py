"""Compares what went into a batch job with what came out, from the files alone: it knows nothing of ipexlaunch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Every row of a file of JSON lines; a file that is not there has none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def problems_of(
    given: Path, output: Path, expected: Callable[[Any], object], may_die: Callable[[Any], bool] | None = None
) -> list[str]:
    """What is wrong with a finished job: items that are lost, there twice, nobody's, wrong, or given up without need.

    Args:
        given: the input, objects with an "id".
        output: the results.
        expected: an item to its right result.
        may_die: whether an item may be among the dead letters.
    """
    items = {item["id"]: item for item in rows_of(given)}
    numbers = {key: number for number, key in enumerate(items)}
    try:
        results, dead = rows_of(output), rows_of(Path(f"{output}.dead.jsonl"))
    except ValueError as error:
        return [f"the output is not JSON lines: {error}"]
    seen = Counter(row["id"] for row in [*results, *dead])
    problems = [f"{key!r} is lost" for key in items if key not in seen]
    problems += [f"{key!r} is there {count} times" for key, count in seen.items() if count > 1]
    problems += [f"{key!r} is nobody's" for key in seen if key not in items]
    problems += [
        f"{row['id']!r} has the wrong result {row['result']!r}"
        for row in results
        if row["id"] in items and row["result"] != expected(items[row["id"]])
    ]
    problems += [
        f"{row['id']!r} has the number {row['number']}"
        for row in [*results, *dead]
        if row["number"] != numbers.get(row["id"])
    ]
    problems += [
        f"the letter of {row['id']!r} has another's value" for row in dead if row["value"] != items.get(row["id"])
    ]
    problems += [f"the letter of {row['id']!r} has no reason" for row in dead if not row["reason"]]
    problems += [f"{row['id']!r} was given up" for row in dead if may_die is None or not may_die(items.get(row["id"]))]
    return problems
