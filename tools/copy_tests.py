#!/usr/bin/env python3
"""Copies everything that tests need but the package itself to build/elsewhere, where `make test` runs them.

    python3 tools/copy_tests.py && cd build/elsewhere && .venv/bin/python -m pytest

There is no ipexlaunch in that folder, so whatever imports or starts it, in whatever way, gets the one that is installed
in the environments. The caches of pytest and hypothesis stay there between two calls. Standard library only.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = ROOT / "build/elsewhere"
FOLDERS = ("tests", "examples", "topologies", "benchmarks", "tools", "docs")
ENVIRONMENTS = (".venv", ".venv-ipex", ".venv-light", ".venv-torch", ".venv-peers", ".venv-ray")


def main() -> None:
    """Bring the copy up to date."""
    ELSEWHERE.mkdir(parents=True, exist_ok=True)
    for path in ELSEWHERE.iterdir():
        if path.name in FOLDERS:
            shutil.rmtree(path)
        elif path.is_symlink() or path.is_file():
            path.unlink()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, ELSEWHERE / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "Makefile", ROOT / "LICENSE"):
        shutil.copy2(path, ELSEWHERE)
    for name in ENVIRONMENTS:
        (ELSEWHERE / name).symlink_to(ROOT / name)


if __name__ == "__main__":
    main()
