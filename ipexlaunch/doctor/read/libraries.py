"""What the workers' Python has installed, read from its folders; it is not started.

Sources: PEP 376 and the recording installed projects specification (NAME-VERSION.dist-info), PEP 405 (pyvenv.cfg),
PEP 503 (normalised names).

Which OpenMP runtimes a running process has mapped, and what was preloaded into it.

Find the files that LD_PRELOAD names, as the dynamic linker would.

Ask the `numa` package of the registry, where it is installed, for its idea of the nodes; for cross-checking only.

Two packages share the import name (numa 1.4.6 and py-libnuma 1.2). Only their queries are called: setting a policy by
them fails without an error or ends the process.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ipexlaunch.doctor.finding import Evidence
from ipexlaunch.doctor.host_facts import Interpreter, Library, LoadedRuntimes, NumaPackage
from ipexlaunch.doctor.host_files_read import Unavailable
from ipexlaunch.doctor.read.host_files import is_live
from ipexlaunch.doctor.worker_variables import preloaded_in
from ipexlaunch.machine.proc_files import ThreadStarts, names_in, text_of

DIST_INFO = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)\.dist-info")
PACKAGE_FOLDERS = ("site-packages", "dist-packages")
BUNDLED_OPENMP = re.compile(r"lib(?P<family>gomp|iomp5|omp)(-[0-9a-f]+)?\.so[.\d]*")


def read_interpreter(python: str, prefixes: Sequence[str]) -> Interpreter | Unavailable:
    """Version and packages of an interpreter.

    Args:
        python: its path.
        prefixes: the folders that hold its lib/, nearest first (a virtual environment, then what it was made from).
    """
    if not os.path.isfile(python):
        return Unavailable(python, "there is no such file")
    with open(python, "rb") as file:
        if file.read(2) == b"#!":
            return Unavailable(python, "it is a script (a shim) that chooses a Python; name the Python itself")
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


def read_loaded_runtimes(pid: int, root: str = "/") -> LoadedRuntimes | Unavailable:
    """The runtimes in a process's memory map.

    Args:
        pid: process id.
        root: "/" or the folder of a saved tree.

    Source: proc(5), /proc/PID/maps and /proc/PID/environ.
    """
    folder = f"/proc/{pid}"
    try:
        with open(f"{root.rstrip('/')}{folder}/maps", encoding="utf-8", errors="replace") as file:
            paths = list(dict.fromkeys(line.split(maxsplit=5)[5].strip() for line in file if line.count("/")))
        with open(f"{root.rstrip('/')}{folder}/environ", encoding="utf-8", errors="replace") as file:
            pairs = [part.partition("=") for part in file.read().split("\0")]
    except FileNotFoundError:
        return Unavailable(folder, "there is no such process")
    except OSError as error:
        return Unavailable(folder, f"it cannot be read ({error.strerror})")
    names = {path: path.removesuffix(" (deleted)").rpartition("/")[2] for path in paths}
    runtimes = tuple(path for path in paths if BUNDLED_OPENMP.fullmatch(names[path]))
    return LoadedRuntimes(
        pid=pid,
        paths=runtimes,
        with_threads=_with_threads(pid, runtimes) if is_live(root) and len(runtimes) > 1 else None,
        preloaded=tuple(preloaded_in({name: value for name, _, value in pairs})),
        cpu_s=_cpu_seconds(text_of(f"{root.rstrip('/')}{folder}/stat") or ""),
        anonymous_bytes=_anonymous(text_of(f"{root.rstrip('/')}{folder}/status") or ""),
    )


def _cpu_seconds(stat: str) -> float | None:
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") if len(fields) > 12 else None


def _anonymous(status: str) -> int | None:
    found = re.search(r"^RssAnon:\s+(\d{1,15}) kB$", status, re.MULTILINE)
    return int(found[1]) << 10 if found else None


def _with_threads(pid: int, runtimes: tuple[str, ...]) -> tuple[str, ...] | None:
    threads = [int(name) for name in names_in(f"/proc/{pid}/task")]
    begun = ThreadStarts(pid).files_of(threads)
    return tuple(path for path in runtimes if path in begun) if begun or len(threads) == 1 else None


CACHE = "/etc/ld.so.cache"
STANDARD_FOLDERS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")


def find_preloaded(names: Iterable[str], environment: Mapping[str, str], root: str = "/") -> frozenset[str]:
    """Those of the names that lead to a file: a name with a slash is a path, any other is looked up.

    Args:
        names: the words of LD_PRELOAD.
        environment: for LD_LIBRARY_PATH.
        root: where the file system begins.

    Source: ld.so(8).
    """
    root = root.rstrip("/")
    return frozenset(name for name in names if _exists(name, environment, root))


def _exists(name: str, environment: Mapping[str, str], root: str) -> bool:
    if "/" in name:
        path = name if not name.startswith("/") else root + name
        # $LIB, $ORIGIN and $PLATFORM are filled in by the linker per program; such a path is taken as it is.
        return "$" in name or os.path.isfile(path)
    folders = [folder for folder in environment.get("LD_LIBRARY_PATH", "").replace(";", ":").split(":") if folder]
    if any(os.path.isfile(os.path.join(root + folder, name)) for folder in (*folders, *STANDARD_FOLDERS)):
        return True
    try:
        with open(root + CACHE, "rb") as file:
            data, wanted = file.read(), os.fsencode(name) + b"\0"
    except OSError:
        return False
    # A name is a string of its own, or (since glibc 2.33) the tail of the path that it leads to.
    return b"\0" + wanted in data or b"/" + wanted in data


def read_numa_package(name: str = "numa") -> NumaPackage | Unavailable | None:
    """What the package says; None where it is not installed, `Unavailable` where it is and fails.

    Args:
        name: its import name; another one in tests.
    """
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    where = spec.origin or name
    try:
        module = importlib.import_module(name)
        if hasattr(module, "get_max_node"):  # numa 1.4
            return NumaPackage(where, highest_id=int(module.get_max_node()) if module.available() else None)
        info = importlib.import_module(f"{name}.info")  # py-libnuma
        return NumaPackage(where, count=int(info.get_num_configured_nodes()) if info.numa_available() else None)
    except Exception as error:  # foreign code: py-libnuma raises AttributeError at import where libnuma is missing
        return Unavailable(where, f"it fails with {type(error).__name__}: {error}")
