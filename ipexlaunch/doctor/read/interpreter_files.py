"""What the workers' Python has installed, read from its folders; it is not started.

Sources: PEP 376 and the recording installed projects specification (NAME-VERSION.dist-info), PEP 405 (pyvenv.cfg),
PEP 503 (normalised names).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from ipexlaunch.doctor.finding import Evidence
from ipexlaunch.doctor.host_facts import Interpreter, Library
from ipexlaunch.doctor.host_files_read import Unread

DIST_INFO = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)\.dist-info")
PACKAGE_FOLDERS = ("site-packages", "dist-packages")
BUNDLED_OPENMP = re.compile(r"lib(?P<family>gomp|iomp5|omp)(-[0-9a-f]+)?\.so[.\d]*")


def read_interpreter(python: str, prefixes: Sequence[str]) -> Interpreter | Unread:
    """Version and packages of an interpreter.

    Args:
        python: its path.
        prefixes: the folders that hold its lib/, nearest first (a virtual environment, then what it was made from).
    """
    if not os.path.isfile(python):
        return Unread(python, "there is no such file")
    with open(python, "rb") as file:
        if file.read(2) == b"#!":
            return Unread(python, "it is a script (a shim) that chooses a Python; name the Python itself")
    packages: dict[str, Evidence] = {}
    version = ""
    for folder in _package_folders(prefixes):
        match = re.search(r"/python(\d+\.\d+)/", folder)
        version = version or (match[1] if match else "")
        for entry in _listed(folder):
            info = DIST_INFO.fullmatch(entry)
            if info:
                name = re.sub(r"[-_.]+", "-", info["name"]).lower()
                packages.setdefault(name, Evidence(os.path.join(folder, entry), info["version"]))
    return Interpreter(path=python, version=version, packages=packages)


def read_bundled_openmp(prefixes: Sequence[str]) -> Iterator[Library]:
    """The OpenMP runtimes that packages bring for themselves (torch/lib, scikit_learn.libs ...).

    Args:
        prefixes: as for `read_interpreter`.
    """
    for folder in _package_folders(prefixes):
        for entry in _listed(folder):
            inner = entry if entry.endswith(".libs") else os.path.join(entry, "lib")
            for name in _listed(os.path.join(folder, inner)):
                match = BUNDLED_OPENMP.fullmatch(name)
                if match:
                    package = entry.removesuffix(".libs")
                    yield Library("openmp", match["family"], os.path.join(folder, inner, name), package)


def _package_folders(prefixes: Iterable[str]) -> Iterator[str]:
    """Every folder of packages below the prefixes' lib/, once."""
    seen: set[str] = set()
    for prefix in prefixes:
        lib = os.path.join(prefix, "lib")
        for version in [name for name in _listed(lib) if re.fullmatch(r"python\d(\.\d+)?", name)]:
            for name in PACKAGE_FOLDERS:
                folder = os.path.join(lib, version, name)
                if os.path.isdir(folder) and os.path.realpath(folder) not in seen:
                    seen.add(os.path.realpath(folder))
                    yield folder


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []  # most of the places that are tried do not exist
