"""A program under models/run_script.py does what it does under the interpreter alone: each is run both ways."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from tests.models.scripts.run_script import RUNNER, python

pytestmark = pytest.mark.process

SHOW = '''"""Doc."""
import sys
x: int = 1
def named(value):
    return value if isinstance(value, (str, dict, type(None))) else type(value).__name__
print(sorted((name, named(value)) for name, value in globals().items()))
print(sys.argv, sys.path[0], len(sys.path), sys.flags, sys.modules["__main__"].__dict__ is globals())
'''

CHILDREN = """
import multiprocessing, os, pickle
from concurrent.futures import ProcessPoolExecutor

class Kept: pass

def square(x):
    return x * x, __name__

if __name__ == "__main__":
    for method in ("spawn", "forkserver", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, pool.map(square, [1, 2]))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        print(list(pool.map(square, [3])), pickle.loads(pickle.dumps(Kept())).__class__)
"""

PROGRAMS = {
    "show.py": SHOW,
    "children.py": CHILDREN,
    "chain.py": "def f():\n    try: 1/0\n    except Exception as e: raise ValueError('b') from e\nf()\n",
    "group.py": "def f(): raise KeyError(1)\ntry: f()\nexcept KeyError as e: raise RuntimeError\n",
    "syntax.py": "import sys\nx = = 1\n",
    "message.py": "import sys; sys.exit('bye')",
    "seven.py": "raise SystemExit(7)",
    "interrupted.py": "raise KeyboardInterrupt",
    "killed.py": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "exits.py": "import atexit, threading\natexit.register(print, 'at exit')\n"
    "threading.Timer(0.2, print, ['thread']).start()\nprint('main')\n",
    "hook.py": "import sys, traceback\ndef hook(kind, value, trace):\n"
    "    print(kind, [frame.filename for frame in traceback.extract_tb(trace)], file=sys.stderr)\n"
    "sys.excepthook = hook\nraise RuntimeError\n",
    "thread.py": "import threading\ndef f(): raise ValueError('in a thread')\n"
    "t = threading.Thread(target=f); t.start(); t.join()\n",
    "source.py": "import inspect\ndef f(): return 1\nprint(inspect.getsource(f), inspect.getsourcefile(f))\n",
    "future.py": "from __future__ import annotations\nx: Nowhere = 1\nprint(__annotations__)\n",
    "neighbour.py": "import chained_neighbour\nprint(chained_neighbour.__file__)\n",
    "chained_neighbour.py": "",
    # A module of the standard library of this name must not be hidden from what runs before the script.
    "json.py": "print('not the json of the standard library')",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs")
    for name, text in PROGRAMS.items():
        (path / name).write_text(text)
    (path / "latin.py").write_bytes(b"# coding: latin-1\nprint('\xe4')\nraise ValueError('x')\n")
    (path / "marked.py").write_bytes(b"\xef\xbb\xbfprint(1)\n")
    (path / "package").mkdir()
    (path / "package" / "__main__.py").write_text(SHOW)
    (path / "package" / "module.py").write_text(SHOW)
    with zipfile.ZipFile(path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW)
    (path / "elsewhere").mkdir()
    (path / "elsewhere" / "link.py").symlink_to(path / "show.py")
    return path


COMMANDS = [
    ["show.py", "a", "-x", "--count-calls", "-m", ""],
    ["./show.py"],
    ["elsewhere/link.py"],
    ["package"],
    ["./package/"],
    ["archive.zip"],
    ["-m", "show", "b"],
    ["-m", "package"],
    ["-m", "package.module", "-m"],
    ["-m", "chain"],
    ["-m", "syntax"],
    ["-m", "missing"],
    ["missing.py"],
    ["latin.py"],
    ["marked.py"],
    *([name] for name in PROGRAMS if name not in ("show.py", "chained_neighbour.py")),
]


def assert_same(folder: Path, words: list[str], **variables: str) -> None:
    alone = python(*words, cwd=folder, variables=variables)
    ours = python(*words, cwd=folder, runner=(RUNNER, "--count-calls"), variables=variables)
    told = [line for line in ours.stderr.splitlines(True) if not line.startswith("ipexlaunch: --count-calls")]
    assert (ours.returncode, ours.stdout, "".join(told)) == (alone.returncode, alone.stdout, alone.stderr)


@pytest.mark.parametrize("words", COMMANDS, ids=[" ".join(words) for words in COMMANDS])
def test_a_program_runs_as_it_does_alone(folder: Path, words: list[str]) -> None:
    assert_same(folder, words)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="PYTHONSAFEPATH came with Python 3.11")
@pytest.mark.parametrize("program", ["show.py", "package", "neighbour.py"])
def test_it_respects_a_safe_path(folder: Path, program: str) -> None:
    assert_same(folder, [program], PYTHONSAFEPATH="1")


def test_compiled_files_run_too(folder: Path) -> None:
    python("-m", "compileall", "-q", "-b", "show.py", cwd=folder)
    assert_same(folder, ["show.pyc"])


def test_a_script_without_torch_is_told_that_nothing_was_counted_and_loads_nothing_for_it(folder: Path) -> None:
    (folder / "modules.py").write_text("import sys\nprint(*sorted(sys.modules), sep='\\n')\n")
    done = python("-S", RUNNER, "--count-calls", "modules.py", cwd=folder)  # -S: what is installed may load anything
    assert done.stderr.startswith("ipexlaunch: --count-calls counted nothing: no model (torch.nn.Module) was called")
    assert "ipexlaunch.models.scripts.count_calls" in done.stdout.split()
    assert not {"torch", "inspect", "ipexlaunch.worker", "importlib.abc"} & set(done.stdout.split())


def test_words_that_are_not_the_launchers_end_it_before_the_script(folder: Path) -> None:
    assert "'--other' is no option" in python("--other", "show.py", cwd=folder, runner=(RUNNER,)).stderr
