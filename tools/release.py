#!/usr/bin/env python3
"""Makes what a release is: checks version and changelog, builds sdist and wheel twice, and puts them into dist/.

    python3 tools/release.py            # all of it; the working tree must be what is committed
    python3 tools/release.py --try      # in preparation: version and changelog may be unfinished

Nothing is uploaded and no tag is made; the last lines say what is left to do. Needs build and twine beside the Python
that runs this (make env-package). Both packages are built three times, twice from the tree and once from the sdist, and
must be the same byte by byte.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


def stop(text: str) -> NoReturn:
    """End with one line."""
    print("release: " + text, file=sys.stderr)
    raise SystemExit(1)


def version_of(init: str) -> str:
    """The version in the text of `ipexlaunch/__init__.py`."""
    found = re.search(r'^__version__ = "([^"]+)"$', init, re.MULTILINE)
    if found is None:
        stop("ipexlaunch/__init__.py has no __version__")
    return found[1]


def problems(version: str, changelog: str) -> list[str]:
    """What keeps a version from being released.

    Args:
        version: of the package.
        changelog: the text of CHANGELOG.md.
    """
    found = []
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        found.append(f"the version is {version}; a release has three numbers (ipexlaunch/__init__.py)")
    wanted = re.match(r"\d+\.\d+\.\d+", version)
    first = re.search(r"^## (.*)$", changelog, re.MULTILINE)
    begins, number = first[1] if first else "", wanted[0] if wanted else version
    if not re.fullmatch(re.escape(number) + r" - \d{4}-\d\d-\d\d", begins):
        found.append(f"CHANGELOG.md begins with {begins!r}; it must be ## {number} - YYYY-MM-DD")
    return found


def build(folder: Path, source: Path) -> dict[str, str]:
    """Build both packages of a tree, and return the hash of each by its name."""
    epoch = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch.stdout.strip()}
    words = [sys.executable, "-m", "build", "--outdir", str(folder), str(source)]
    done = subprocess.run(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        stop(f"the packages cannot be built:\n{done.stdout}")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def main() -> None:
    """Check, build, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--try", dest="preparing", action="store_true", help="say what is missing, and go on")
    preparing = parser.parse_args().preparing
    version = version_of((ROOT / "ipexlaunch/__init__.py").read_text(encoding="utf-8"))
    found = problems(version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    if changed.stdout:
        found.append(f"{len(changed.stdout.splitlines())} files are not as they are committed (git status)")
    for line in found:
        print("release: " + line, file=sys.stderr)
    if found and not preparing:
        stop("nothing was built; --try builds all the same")
    with tempfile.TemporaryDirectory(prefix="ipexlaunch-release-") as folder:
        first, second = build(Path(folder, "1"), ROOT), build(Path(folder, "2"), ROOT)
        if first != second:
            stop(f"two builds differ: {first}, {second}")
        sdist = next(Path(folder, "1").glob("*.tar.gz"))
        shutil.unpack_archive(str(sdist), folder)
        third = build(Path(folder, "3"), Path(folder, sdist.name[: -len(".tar.gz")]))
        if third != first:
            stop(f"what is built from the sdist differs from what is built from the tree: {third}, {first}")
        packages = sorted(str(path) for path in Path(folder, "1").iterdir())
        if subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *packages], check=False).returncode:
            stop("twine finds fault with the packages")
        DIST.mkdir(exist_ok=True)
        for old in (*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")):
            old.unlink()
        shutil.copytree(Path(folder, "1"), DIST, dirs_exist_ok=True)
    for name, digest in first.items():
        print(f"{digest}  dist/{name}")
    if not re.search(r"^\[project\.urls\]$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE):
        print("release: pyproject.toml has no [project.urls]: the README's links lead nowhere on a package index")
    if not found:
        print(f"release: left to do: git tag -a v{version}, then upload dist/ to where it is to be had")


if __name__ == "__main__":
    main()
