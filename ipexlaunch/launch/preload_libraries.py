"""Find the OpenMP runtime and the allocators that a worker can be started with, under whatever name they have.

pip puts libiomp5.so into the environment's lib/, conda likewise, Debian's runtime packages ship only versioned names
(libjemalloc.so.2, libtcmalloc_minimal.so.4) in the multiarch directory and LLVM's in its own. Only this module looks.

A short program is started under each library before workers are. Two known sources of failure: jemalloc built for 4 KiB
pages on a kernel with larger ones ("Unsupported system page size"), and ld.so(8), which goes on without a library that
it cannot load and says so on standard error. Interpreters are asked for what they have in the same way.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ipexlaunch.launch.process_failures import describe_exit

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


LONGEST_TRIAL_S = 10.0
"""It takes 1 to 4 ms; what takes so long hangs."""

LONGEST_ANSWER_S = 60.0
"""An interpreter on a slow network file system takes its time."""

LONGEST_REASON = 160


def libraries_that_start(
    python: str, environment: Mapping[str, str], wanted: Iterable[str], root: str = "/", program: Sequence[str] = ()
) -> tuple[dict[str, str], dict[str, str]]:
    """The first library of each name under which the workers' interpreter starts; and why not, for those with none.

    Args:
        python: the workers' interpreter.
        environment: the variables of the caller.
        wanted: keys of find_libraries.NAMES.
        root: where the file system begins; another directory in tests.
        program: what is started; () for the interpreter, which says its version.
    """
    working: dict[str, str] = {}
    refused: dict[str, str] = {}
    for library, paths in libraries_there(python, environment, root, wanted).items():
        for path in paths:
            problem = why_not(path, program or (python, "-V"), environment)
            if not problem:
                working[library] = path
                refused.pop(library, None)
                break
            refused.setdefault(library, f"{path}: {problem}")
    return working, refused


def why_not(path: str, program: Sequence[str], environment: Mapping[str, str]) -> str:
    """Why a program does not start with this library preloaded; "" where it does.

    Args:
        path: the library.
        program: its command.
        environment: the caller's variables; its own LD_PRELOAD is left out, it is not on trial.
    """
    if re.search(r"[:\s]", path):
        return "ld.so(8) cannot be told of a path with a blank or a colon"
    try:
        done = subprocess.run(
            program,
            env={**environment, "LD_PRELOAD": path, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=LONGEST_TRIAL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{os.path.basename(program[0])} did not end with it within {LONGEST_TRIAL_S:.0f} s"
    except OSError:
        return ""  # it is the program that cannot be started, and whoever starts it says so
    said = done.stderr.decode(errors="replace")
    ignored = re.search(r"from LD_PRELOAD cannot be preloaded(?: \((.*)\))?", said)
    if ignored:
        return f"it cannot be loaded: {ignored[1] or 'the linker does not say why'}"
    if not done.returncode:
        return ""
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
    return f"{os.path.basename(program[0])} {describe_exit(done.returncode)} with it{': ' * bool(last)}{last}"[
        :LONGEST_REASON
    ]


def python_version(python: str, environment: Mapping[str, str]) -> tuple[int, int] | None:
    """The version of an interpreter: a program's own name tells it (python3.9), any other one is asked.

    A shim of pyenv, or a script that loads a module first, may have any name, and runs what the environment says.

    Args:
        python: its path, or a name that is looked up as a shell would.
        environment: the variables that it will be started with.

    Returns:
        None where it does not answer as a Python does.
    """
    place = os.path.realpath(shutil.which(python) or python)
    found = re.fullmatch(r"python(\d+)\.(\d+)", os.path.basename(place))
    if found is None or not _is_program(place):
        told = answer_of((python, "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"), environment)
        found = re.fullmatch(r"python(\d+)\.(\d+)", told or "")
    return (int(found[1]), int(found[2])) if found else None


_FIND_MODULE = """
import importlib.util, sys

def look(name, places):
    return next(filter(None, (each.find_spec(name, places) for each in sys.meta_path)), None) if places else None

name = sys.argv[1]
first, *others = name.split(".")
if first not in ("", "ipexlaunch", "__main__"):
    found, places, whole = importlib.util.find_spec(first), None, first
    for each in others:
        whole += "." + each
        places = found and found.submodule_search_locations
        found = look(whole, places)
    if found and found.submodule_search_locations is not None:
        name, places = name + ".__main__", found.submodule_search_locations
        found = look(name, places)
    if not found and places:
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, AttributeError):
            pass
    print("there" if found else "lacks " + name)
"""
"""Imports nothing where the module is there; a package that changes its own path is imported to be certain."""


def lacks_module(python: str, module: str, environment: Mapping[str, str]) -> str:
    """The module that `python -m` would not find; "" where it finds it, and where the interpreter does not say.

    Args:
        python: the interpreter.
        module: its name, as for -m; a package's is that of its __main__.
        environment: the variables that it will be started with.
    """
    told = answer_of((python, "-c", _FIND_MODULE, module), environment) or ""
    return told[len("lacks ") :] if told.startswith("lacks ") else ""


def _is_program(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(ELF_MAGIC)) == ELF_MAGIC
    except OSError:
        return False


def answer_of(program: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The last line that a short program prints; None where it cannot be started or fails.

    Args:
        program: its command.
        environment: its variables.
    """
    try:
        done = subprocess.run(
            program,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LONGEST_ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.decode(errors="replace").splitlines()
    return lines[-1] if lines and not done.returncode else None
