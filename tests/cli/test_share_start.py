"""`--share-start` as users type it: a program whose workers are forked finds what it finds without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shared_starts import ROOT, run, two_cores
from tests.models.scripts.test_run_as_main import CHILDREN

pytestmark = [pytest.mark.process, two_cores]

LOOK = '''"""Doc."""
import numpy
import gc, json, os, resource, signal, sys, threading
def open_files():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink("/proc/self/fd/" + name).partition(":")[0], os.get_inheritable(int(name))
        except OSError:
            pass  # the one that lists them
    return found
def words(name):
    with open("/proc/self/" + name, "rb") as file:
        return file.read().decode().split("\\0")
def lines(name, *begins):
    with open("/proc/self/" + name) as file:
        return [line for line in file.read().splitlines() if line.startswith(begins)]
status = ("Name", "Umask", "Uid", "Gid", "Groups", "Threads", "Cpus_allowed", "Mems_allowed", "Cap", "NoNew", "Secc",
          "SigP", "SigB", "SigI", "SigC", "Shd")
numpy.dot(numpy.ones((256, 256)), numpy.ones((256, 256)))
print(json.dumps({
    "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "flags": str(sys.flags), "program": sys.executable,
    "file": __file__, "name": __name__, "doc": __doc__, "spec": str(__spec__), "loader": type(__loader__).__name__,
    "globals": sorted(globals()), "main": sys.modules["__main__"].__dict__ is globals(), "folder": os.getcwd(),
    "variables": dict(os.environ), "shown variables": sorted(words("environ")), "shown command": words("cmdline"),
    "open": open_files(), "status": lines("status", *status), "limits": lines("limits", ""),
    "slack": words("timerslack_ns"), "nice": os.nice(0), "oom": words("oom_score_adj"),
    "scheduler": os.sched_getscheduler(0),
    "cpus": sorted(os.sched_getaffinity(0)), "leads": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
    "children": words("task/%d/children" % os.getpid()), "cgroup": words("cgroup"),
    "signals": {each.name: str(signal.getsignal(each)) for each in signal.Signals},
    "thread": [threading.current_thread().name, threading.get_native_id() == os.getpid(), threading.active_count()],
    "stdin": os.readlink("/proc/self/fd/0"), "read": sys.stdin.read(),
    "stdout": [sys.stdout.line_buffering, sys.stdout.write_through, sys.stdout.encoding],
    "hooks": [str(sys.excepthook), len(sys.meta_path), len(sys.path_hooks), sys.getrecursionlimit(), gc.isenabled()],
    "used": resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime,
}))
'''

OF_THE_RUN = ("IPEXLAUNCH_RUN", "IPEXLAUNCH_SHARED_FILES", "IPEXLAUNCH_STATUS_INODE")


def seen(log: str) -> dict[str, Any]:
    """What a worker has found, without what differs between two runs."""
    found: dict[str, Any] = json.loads(log)
    for name in OF_THE_RUN:
        found["variables"].pop(name, None)
    found["shown variables"] = [word for word in found["shown variables"] if not word.startswith(OF_THE_RUN)]
    found["limits"] = [line for line in found["limits"] if not line.startswith("Max realtime timeout")]  # the mark
    return found


def test_a_worker_that_is_forked_finds_what_it_finds_alone(tmp_path: Path) -> None:
    (tmp_path / "look.py").write_text(LOOK)
    words = ["--env", "LAST={count}", "look.py", "{index}", "-x", "--count-calls", "", "ü" * 300 + "{index}" * 20]
    variables = {
        "OPENBLAS_NUM_THREADS": "7",
        "OMP_THREAD_LIMIT": "9",
        "MALLOC_CONF": "background_thread:true",
        "Ä": "ü",
    }
    alone = run(tmp_path, *words, **variables)
    forked = run(tmp_path, "--share-start", "imports", *words, **variables)
    assert (alone.code, forked.code) == (0, 0), forked.told
    assert forked.is_shared
    for found, expected in zip(map(seen, forked.logs), map(seen, alone.logs), strict=True):
        assert {name: value for name, value in found.items() if value != expected[name]} == {}


ENDS = """
import numpy, atexit, threading
atexit.register(print, "at exit")
print("no end of line", end="")
threading.Timer(0.2, print, [" thread"]).start()
"""

ERRORS = """
import numpy, sys
def chain():
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise ValueError("b") from error
chain() if sys.argv[1] == "0" else numpy.ones(3) @ numpy.ones(4)
"""

LAST = """
import numpy, os, signal, sys
sys.excepthook = lambda kind, value, trace: print(kind, trace.tb_frame.f_code.co_filename)
if sys.argv[1] == "0":
    os.kill(os.getpid(), signal.SIGTERM)
raise OSError
"""

PROGRAMS = {
    "children.py": f"import numpy\n{CHILDREN}",
    "ends.py": ENDS,
    "codes.py": "import numpy, sys\nsys.exit('bye' if sys.argv[1] == '0' else 7)\n",
    "errors.py": ERRORS,
    "last.py": LAST,
    "package/__main__.py": "import numpy, sys\nprint(sys.argv, sys.path[0], __package__)\n1/0\n",
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    (folder / "package").mkdir()
    for name, text in PROGRAMS.items():
        (folder / name).write_text(text)
    return folder


WORDS = [[n, "{index}"] for n in PROGRAMS if "/" not in n] + [["package"], ["-m", "package", "a"]]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_program_goes_on_and_ends_as_it_does_alone(programs: Path, words: list[str]) -> None:
    words = ["--on-failure", "continue", *words]
    alone, forked = run(programs, *words), run(programs, "--share-start", "imports", *words)
    assert (forked.code == 0) is (alone.code == 0)  # whoever fails first decides it
    assert forked.logs == alone.logs
    assert [each["exit"] for each in forked.report["instances"]] == [each["exit"] for each in alone.report["instances"]]
    assert forked.is_shared


HIDING = {
    "vendored.py": "import sys\nsys.path.insert(0, 'vendor')\nimport numpy\nprint(numpy.WHOSE)\n",
    "vendor/numpy.py": "WHOSE = 'vendored'\n",
    "own/main.py": "import numpy, queue\nprint(numpy.WHOSE, queue.WHOSE)\n",
    "own/numpy.py": "WHOSE = 'own'\n",
    "own/queue.py": "WHOSE = 'own'\n",
    "folder/__main__.py": "import numpy\nprint(numpy.WHOSE)\n",
    "folder/numpy.py": "WHOSE = 'own'\n",
    "late.py": "import os\nprint(os.environ.get('LATE'))\nos.environ['LATE'] = '1'\nimport numpy\n",
    "raises.py": "try:\n    import pandas\nexcept OSError as error:\n    print('without', error)\n",
    "path/pandas.py": "raise OSError('its library')\n",
    "missing.py": "try:\n    import keras\nexcept ImportError:\n    print('without')\n",
    "older.py": "try:\n    from numpy import added_in_3\nexcept ImportError:\n    print('older')\n",
    "sets/main.py": "import settings\nimport numpy\nprint(numpy.WHOSE)\n",
    "sets/settings.py": "import sys\nsys.path.insert(0, 'vendor')\n",
    "parts/__init__.py": "",
    "parts/part.py": "import numpy\nprint(numpy.__file__, __name__)\n",
    "hides/main.py": "import scipy.sparse, secrets, calendar\nprint(calendar.WHOSE)\n",
    "hides/calendar.py": "WHOSE = 'own'\n",
}
IS_SHARED = {"own/main.py", "parts.part", "folder", "late.py", "missing.py", "older.py"}


@pytest.mark.parametrize(
    "program",
    ["vendored.py", "own/main.py", "folder", "late.py", "raises.py", "missing.py", "older.py", "sets/main.py",
     "parts.part", "hides/main.py"],
)  # fmt: skip
def test_what_is_imported_once_is_what_the_program_would_import(tmp_path: Path, program: str) -> None:
    for name, text in HIDING.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    variables = {"PYTHONPATH": f"{ROOT}:{tmp_path}/path"}
    words = ["-m", program] if program == "parts.part" else [program]
    alone = run(tmp_path, *words, **variables)
    forked = run(tmp_path, "--share-start", "imports", *words, **variables)
    assert (alone.code, forked.code) == (0, 0), forked.told
    assert forked.logs == alone.logs
    assert forked.is_shared is (program in IS_SHARED)


GENERATORS = """
import random, sys
import numpy
from ipexlaunch import worker
if "seed" in sys.argv:
    random.seed(1)
    numpy.random.seed(1)
worker.split()
print(random.random(), numpy.random.random())
"""


@pytest.mark.parametrize("mode", ["imports", "model"])
def test_global_generators_differ_between_workers_and_repeat_under_a_seed(tmp_path: Path, mode: str) -> None:
    (tmp_path / "draw.py").write_text(GENERATORS)

    def drawn(*words: str) -> list[tuple[str, ...]]:
        ended = run(tmp_path, "--share-start", mode, "draw.py", *words)
        assert ended.is_shared
        return [tuple(log.split()) for log in ended.logs]

    assert all(first != second for first, second in zip(*drawn(), strict=True))
    seeded = drawn("seed")
    assert (seeded[0] == seeded[1]) is (mode == "imports")  # each seeds itself there, as without
    assert seeded == drawn("seed")


def test_packages_beside_the_program_are_imported_once(tmp_path: Path) -> None:
    """As where an environment stands in a project's folder."""
    package = tmp_path / "environment" / "pandas.py"
    package.parent.mkdir()
    package.write_text("print('imported', flush=True)\n")
    (tmp_path / "main.py").write_text("import pandas\n")
    ended = run(tmp_path, "--share-start", "imports", "main.py", PYTHONPATH=f"{ROOT}:{package.parent}")
    assert (ended.code, ended.is_shared) == (0, True), ended.told
    assert ended.out.splitlines() == ["[0-1] imported"]
    assert ended.logs == ["imported\n"] * 2


def test_a_long_command_line_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "count.py").write_text("import numpy, sys\nprint(len(sys.argv), sys.argv[-1])\n")
    ended = run(tmp_path, "--share-start", "imports", "count.py", *["x" * 100] * 5000)
    assert (ended.code, ended.is_shared) == (0, True), ended.told
    assert ended.logs == [f"5001 {'x' * 100}\n"] * 2
