"""Find the OpenMP runtime and the allocators that a worker can be started with, under whatever name they have.

pip puts libiomp5.so into the environment's lib/, conda likewise, Debian's runtime packages ship only versioned names
(libjemalloc.so.2, libtcmalloc_minimal.so.4) in the multiarch directory and LLVM's in its own. Only this module looks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

NAMES = {
    "iomp5": ("libiomp5.so",),
    "tcmalloc": ("libtcmalloc.so", "libtcmalloc_minimal.so"),
    "jemalloc": ("libjemalloc.so",),
}
"""Library to the names that its file's name begins with, the preferred one first; dots and digits may follow."""

PREFIXES = tuple(name for names in NAMES.values() for name in names)

SYSTEM_DIRECTORIES = ("usr/local/lib", "usr/local/lib64", "usr/lib64", "lib64", "usr/lib", "lib")

ELF_MAGIC = b"\x7fELF"
ELF_MACHINE = slice(18, 20)
ELF_CLASS = 4
"""Offsets of e_machine and EI_CLASS: elf(5)."""


def libraries_there(
    python: str, environment: Mapping[str, str], root: str = "/", wanted: Iterable[str] = tuple(NAMES)
) -> dict[str, list[str]]:
    """Every file of each library that fits the interpreter's architecture, the preferred one first.

    Args:
        python: the worker's interpreter; its environment is searched first, even when it is not activated.
        environment: the variables of the caller (CONDA_PREFIX, VIRTUAL_ENV, HOME).
        root: where the file system begins; another directory in tests.
        wanted: keys of NAMES.
    """
    architecture = _architecture(os.path.realpath(python)) or _architecture("/proc/self/exe")
    directories = list(dict.fromkeys(_directories(python, environment, root)))
    listings = {
        directory: sorted(name for name in _listed(directory) if name.startswith(PREFIXES)) for directory in directories
    }
    found: dict[str, list[str]] = {}
    for library in wanted:
        paths = [path for name in NAMES[library] for path in _named(name, listings, architecture)]
        if paths:
            found[library] = paths
    return found


def interpreter_prefixes(python: str) -> list[str]:
    """The environment of an interpreter and, for a virtual environment, the installation that it was made from.

    Source: PEP 405, the `home` key of pyvenv.cfg.
    """
    prefix = os.path.dirname(os.path.dirname(os.path.abspath(python)))
    prefixes = [prefix]
    try:
        with open(os.path.join(prefix, "pyvenv.cfg"), encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition("=")
                if key.strip() == "home":
                    prefixes.append(os.path.dirname(value.strip()))
    except OSError:
        prefixes.append(os.path.dirname(os.path.dirname(os.path.realpath(python))))
    return prefixes


def _directories(python: str, environment: Mapping[str, str], root: str) -> Iterable[str]:
    for prefix in interpreter_prefixes(python):
        yield os.path.join(prefix, "lib")
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if environment.get(variable):
            yield os.path.join(environment[variable], "lib")
    if environment.get("HOME"):
        yield os.path.join(environment["HOME"], ".local", "lib")
    seen: set[tuple[int, int]] = set()
    for directory in SYSTEM_DIRECTORIES:
        path = os.path.join(root, directory)
        identity = _identity(path)
        if identity is None or identity in seen:
            continue  # not there, or another name of one before it: /lib is a link to /usr/lib where /usr is merged
        seen.add(identity)
        # Debian's multiarch directories (x86_64-linux-gnu, aarch64-linux-gnu) and LLVM's own (llvm-14/lib).
        for name in sorted(name for name in _listed(path) if name.endswith("-linux-gnu") or name.startswith("llvm-")):
            yield os.path.join(path, name) if name.endswith("-linux-gnu") else os.path.join(path, name, "lib")
        yield path


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []  # most of the places that are tried do not exist


def _named(wanted: str, listings: Mapping[str, list[str]], architecture: bytes | None) -> Iterator[str]:
    """Every file of a library's name that is one, once where links lead to it."""
    seen: set[str] = set()
    for directory, names in listings.items():
        for name in names:
            if name.startswith(wanted) and not name[len(wanted) :].strip(".0123456789"):
                path = os.path.join(directory, name)
                if _architecture(path) == architecture and os.path.realpath(path) not in seen:
                    seen.add(os.path.realpath(path))
                    yield path


def _architecture(path: str) -> bytes | None:
    """Word size and machine of an ELF file; None where it is none (a linker script, a dangling link)."""
    try:
        with open(path, "rb") as file:
            head = file.read(20)
    except OSError:
        return None
    return head[ELF_CLASS : ELF_CLASS + 1] + head[ELF_MACHINE] if head.startswith(ELF_MAGIC) else None
