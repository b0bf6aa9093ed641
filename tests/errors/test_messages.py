"""Every message of an error is shown by a row of the table, in one line that says what was wanted, is there, and works.

`python -m tests.errors` prints the table. A place of the source that no row reaches fails its part of the table, and so
does a row whose line is none of ours.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

from tests.errors import torch_rows
from tests.errors.check_rows import problems_of
from tests.errors.find_sites import all_sites
from tests.examples.run_examples import run, torch_python

ROOT = Path(__file__).resolve().parents[2]
PARTS = sorted(path.stem for path in (Path(__file__).parent / "rows").glob("[a-z]*.py"))


def part(name: str) -> ModuleType:
    """A part of the table."""
    return importlib.import_module(f"tests.errors.rows.{name}")


EVERY = [*map(part, PARTS), torch_rows]


@pytest.mark.process
@pytest.mark.parametrize("name", PARTS)
def test_every_message_is_printed_in_one_line_that_says_what_would_work(name: str) -> None:
    problems = problems_of(part(name))
    assert not problems, "\n".join(problems)


@pytest.mark.process
@pytest.mark.torch
def test_every_message_of_those_who_run_models_is_printed_too() -> None:
    done = run(torch_python(), "-m", "tests.errors.torch_rows")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_place_belongs_to_a_part_of_the_table() -> None:
    places = [place for each in EVERY for place in each.PLACES]
    assert [str(site) for site in all_sites() if not site.path.startswith(tuple(places))] == []


@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.__name__.rpartition(".")[2])
def test_what_no_row_can_show_is_shown_by_a_test_that_is_there(each: ModuleType) -> None:
    for words, shown_by in each.ELSEWHERE.items():
        path, _, function = shown_by.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body), (words, shown_by)


def test_places_are_found_with_their_words() -> None:
    names = [str(site) for site in all_sites()]
    assert len(names) > 400
    assert any("plan/planner.py:_listed_slices: PlanError({wanted} | the list names" in name for name in names)
