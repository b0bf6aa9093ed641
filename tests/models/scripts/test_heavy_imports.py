"""What is read of a script before it runs: the heavy packages it imports, and what would make them others."""

from __future__ import annotations

import pytest

from ipexlaunch.models.scripts.heavy_imports import Import, Variable, calls_split, read_top

TORCH = (Import("torch"),)


def test_heavy_packages_are_found_in_the_order_of_their_import_wherever_they_are_imported_in_any_case() -> None:
    source = """
import json, torch.nn as nn, own
from transformers import AutoModel, AutoTokenizer as T
from numpy import *
from . import torch_things
try:
    import scipy
except ImportError:
    import pandas
else:
    import PIL.Image
finally:
    import timm
with open("x") as file:
    import sklearn
if True:
    import tensorflow
for each in ():
    import keras
def later():
    import datasets
class Holder:
    import diffusers
"""
    assert read_top(source).imports == (
        Import("torch.nn"),
        Import("transformers", ("AutoModel", "AutoTokenizer")),
        Import("numpy"),
        Import("scipy"),
        Import("PIL.Image"),
        Import("timm"),
        Import("sklearn"),
    )
    assert read_top(source).problem == ""


@pytest.mark.parametrize(
    ("lines", "variables"),
    [
        ("os.environ['A'] = 'x'", (Variable("A", "x", False),)),
        ("environ['A'] = ''", (Variable("A", "", False),)),
        ("os.environ.setdefault('A', 'x')", (Variable("A", "x", True),)),
        ("os.environ['A'] = 'x'\nos.environ['B'] = 'y'", (Variable("A", "x", False), Variable("B", "y", False))),
        ("try:\n    os.environ['A'] = 'x'\nexcept OSError: pass", (Variable("A", "x", False),)),
        ("print(os.environ['A'])", ()),
        ("x = os.environ.get('A', 'y')", ()),
        ("x = 'A' in os.environ", ()),
        ("x = {**os.environ.items()}", ()),
        ("x = os.environ.copy()", ()),
        ("x = dict.get('environ', 'y')", ()),
        ("def f(): os.environ['A'] = compute()", ()),
        ("sys.path.append('lib')", ()),
        ("x = sys.path[0]", ()),
        ("class C:\n    environ = {}", ()),
    ],
)
def test_constants_are_taken_over_and_reading_is_nothing(lines: str, variables: tuple[Variable, ...]) -> None:
    top = read_top(f"import os, sys\n{lines}\nimport torch\n")
    assert (top.imports, top.variables, top.problem) == (TORCH, variables, "")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("os.environ['A'] = compute()", "line 2 sets variables to what it computes"),
        ("os.environ[name] = 'x'", "line 2 sets variables"),
        ("os.environ['A'] = os.environ['B'] = 'x'", "line 2 sets variables"),
        ("os.environ.setdefault('A', str(1))", "line 2 sets variables"),
        ("os.environ.setdefault('A')", "line 2 sets variables"),
        ("os.environ.update(A='x')", "line 2 sets variables"),
        ("os.environ |= {'A': 'x'}", "line 2 sets variables"),
        ("os.environ.pop('A')", "line 2 sets variables"),
        ("del os.environ['A']", "line 2 sets variables"),
        ("os.putenv('A', 'x')", "line 2 sets variables"),
        ("variables = os.environ", "line 2 sets variables"),
        ("system.environ['A'] = compute()", "line 2 sets variables"),
        ("if not os.environ.get('A'): os.environ['A'] = 'x'", "line 2 sets variables"),
        ("with patched(os.environ, A='x'): pass", "line 2 sets variables"),
        ("os.environ['OMP_NUM_THREADS'] = '4'", "it sets OMP_NUM_THREADS, which belongs to each worker"),
        ("sys.path.insert(0, 'vendor')", "line 2 changes sys.path"),
        ("sys.path[:0] = ['vendor']", "line 2 changes sys.path"),
        ("sys.path = ['vendor']", "line 2 changes sys.path"),
        ("path = sys.path", "line 2 changes sys.path"),
    ],
)
def test_what_cannot_be_known_before_the_script_runs_is_a_reason_where_an_import_follows(
    line: str, reason: str
) -> None:
    assert read_top(f"import os\n{line}\nimport torch\n").problem.startswith(reason)
    after = read_top(f"import torch\n{line}\n")
    assert (after.imports, after.variables, after.problem) == (TORCH, (), "")


def test_variables_after_the_last_heavy_import_are_the_scripts_alone() -> None:
    top = read_top("os.environ['A'] = 'x'\nimport torch\nos.environ['B'] = 'y'\n")
    assert top.variables == (Variable("A", "x", False),)


@pytest.mark.parametrize("source", ["x = = 1", b"\xff\xfe", "a\0b"])
def test_a_script_that_cannot_be_read_is_not_shared(source: str | bytes) -> None:
    assert read_top(source).problem
    assert not calls_split(source)


def test_sources_in_other_encodings_are_read() -> None:
    assert read_top(b"# coding: latin-1\nx = '\xe4'\nimport torch\n").imports == TORCH


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ("from ipexlaunch import worker\nworker.split()", True),
        ("from ipexlaunch import worker as w\nif True:\n    w.split()", True),
        ("import ipexlaunch.worker\nipexlaunch.worker.split()", True),
        ("import ipexlaunch.worker as w\ndef f(): w.split()", True),
        ("from ipexlaunch.worker import ready, split\nsplit()", True),
        ("from ipexlaunch.worker import split as fork_here\nfork_here()", True),
        ("try:\n    from ipexlaunch import worker\nexcept ImportError:\n    worker = None\nworker.split()", True),
        ("from ipexlaunch import worker\nworker.ready()\n'a b'.split()", False),
        ("for worker in ['a:b']: worker.split(':')", False),
        ("from elsewhere import worker\nworker.split()", False),
        ("from ipexlaunch.worker import split", False),
        ("split()", False),
    ],
)
def test_a_script_calls_split_by_whatever_name_it_has_imported_it(source: str, calls: bool) -> None:
    assert calls_split(source) is calls


OWN = {
    "plain": "import os\nx = os.environ.get('A')\n",
    "settings": "import os\nos.environ['HF_HOME'] = '/models'\n",
    "through": "def f():\n    from package.inner import thing\n",
    "package": "",
    "package.inner": "from . import deeper\n",
    "package.deeper": "import sys\nsys.path.insert(0, 'x')\n",
    "broken": "x = = 1",
    "round": "import about\n",
    "about": "import round\n",
}


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("import settings", "line 1 imports settings, which may set"),
        ("from settings import x", "line 1 imports settings, which may set"),
        ("import through", "line 1 imports package.deeper, which may set"),
        ("import package.inner as p", "line 1 imports package.deeper, which may set"),
        ("from package import inner", "line 1 imports package.deeper, which may set"),
        ("def prepare():\n    os.environ['A'] = 'x'\nprepare()", "line 3 calls prepare, which may set"),
        ("class Path:\n    def add(self): sys.path.insert(0, 'x')\nPath().add()", "line 3 calls Path, which may set"),
        ("import plain, round, broken, package, json", ""),
        ("def prepare():\n    os.environ['A'] = 'x'", ""),
        ("def prepare():\n    return os.environ['A']\nprepare()", ""),
    ],
)
def test_what_the_scripts_own_functions_and_modules_may_set_is_a_reason_too(lines: str, problem: str) -> None:
    top = read_top(f"{lines}\nimport torch\n", OWN.get)
    assert top.problem.startswith(problem)
    assert bool(top.problem) is bool(problem)
    assert read_top(f"import torch\n{lines}\n", OWN.get).problem == ""
