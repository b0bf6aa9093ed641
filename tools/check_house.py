"""Checks what keeps the package readable: short modules, imports at the top, few rooms, few files for one run.

    python tools/check_house.py

Looks at: what stands at the root of the package, lines of each module, imports of own modules inside functions (each
has its reason as a comment beside or above it), and the files of which a function runs in
`ipexlaunch --ninstances 2 script.py`, which it starts and traces. Exit code 1 where one of them is over its limit.
Standard library only; the traced run needs what ipexlaunch needs.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

ROOT_ENTRIES = 17
"""`__init__`, `__main__`, `errors`, `documents` and the wings; py.typed is not counted."""

MODULE_LINES = 300
LATE_IMPORTS = 11
TRACED_FILES = 65

TRACER = """
import os, sys, threading
from pathlib import Path

package = os.path.dirname(sys.argv[1]) + os.sep
ran = set()

def ran_a_function(frame, event, _):
    code = frame.f_code
    if event != "call" or not code.co_filename.startswith(package) or code.co_name.startswith("<"):
        return
    if not code.co_flags & 1:  # the body of a class
        return
    caller = frame.f_back
    while caller is not None:  # what a module calls to make its tables is part of its import
        if caller.f_code.co_name == "<module>" and caller.f_code.co_filename.startswith(package):
            return
        caller = caller.f_back
    ran.add(code.co_filename)

from ipexlaunch.__main__ import main

out, sys.argv = sys.argv[2], ["ipexlaunch", *sys.argv[3:]]
threading.setprofile(ran_a_function)
sys.setprofile(ran_a_function)
try:
    main()
finally:
    sys.setprofile(None)
    Path(out).write_text("".join(f"{name}\\n" for name in sorted(ran)), encoding="utf-8")
"""
"""Writes the files of the package of which a function ran after they were imported."""


def main() -> int:
    """Look at everything; the exit code."""
    package = ROOT / "ipexlaunch"
    problems = [*too_many_rooms(package), *too_long(package), *late_imports(package), *too_many_traced()]
    for problem in problems:
        print(problem)
    if not problems:
        print("the house is in order")
    return 1 if problems else 0


def too_many_rooms(package: Path) -> Iterator[str]:
    """What stands at the root of the package, where that is too much."""
    entries = sorted(
        path.name for path in package.iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    )
    if len(entries) > ROOT_ENTRIES:
        yield f"ipexlaunch: {len(entries)} entries, at most {ROOT_ENTRIES} are wanted: {' '.join(entries)}"


def too_long(package: Path) -> Iterator[str]:
    """Modules with more lines than one reads at a time."""
    for path in sorted(package.rglob("*.py")):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MODULE_LINES:
            yield f"{path.relative_to(package.parent)}: {lines} lines, at most {MODULE_LINES} are wanted"


def late_imports(package: Path) -> Iterator[str]:
    """Imports of own modules inside functions: those without a reason, and all where there are too many."""
    found: list[str] = []
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for number in sorted(_inside_functions(ast.parse(text))):
            where = f"{path.relative_to(package.parent)}:{number}"
            found.append(where)
            if "#" not in lines[number - 1] and not lines[number - 2].lstrip().startswith("#"):
                yield f"{where}: an import of an own module inside a function, without a comment that says why"
    if len(found) > LATE_IMPORTS:
        yield f"{len(found)} imports of own modules inside functions, at most {LATE_IMPORTS} are wanted:"
        yield from (f"  {where}" for where in found)


def _inside_functions(tree: ast.AST) -> set[int]:
    return {
        node.lineno
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
        if (isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "ipexlaunch")
        or (isinstance(node, ast.Import) and any(name.name.partition(".")[0] == "ipexlaunch" for name in node.names))
    }


def too_many_traced() -> Iterator[str]:
    """The files that one follows to understand a plain run, where they are too many."""
    files = traced()
    if len(files) > TRACED_FILES:
        yield f"{len(files)} files run in `ipexlaunch --ninstances 2 script.py`, at most {TRACED_FILES} are wanted:"
        yield from (f"  {name}" for name in files)


def traced() -> list[str]:
    """The files of the package of which a function runs in a plain run of two workers on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        script, names = Path(folder, "script.py"), Path(folder, "names")
        script.write_text("print('hello')\n", encoding="utf-8")
        count = str(min(2, len(os.sched_getaffinity(0))))
        words = (str(ROOT / "ipexlaunch/__init__.py"), str(names), "--ninstances", count, str(script))
        command = (sys.executable, "-c", TRACER, *words)
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "IPEXLAUNCH_LOST_TIME": "1"},
            capture_output=True,
            text=True,  # whoever else uses the machine decides nothing about the house
        )
        if done.returncode:
            sys.exit(f"check_house: the traced run failed\n{done.stderr}")
        return [str(Path(name).relative_to(ROOT)) for name in names.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    sys.exit(main())
