"""Which OpenMP runtimes a running process has mapped, and what was preloaded into it."""

from __future__ import annotations

from ipexlaunch.doctor.interpreter_files import BUNDLED_OPENMP
from ipexlaunch.findings.environment import preloaded
from ipexlaunch.findings.facts import LoadedRuntimes
from ipexlaunch.findings.reading import Unread


def read_loaded_runtimes(pid: int, root: str = "/") -> LoadedRuntimes | Unread:
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
        return Unread(folder, "there is no such process")
    except OSError as error:
        return Unread(folder, f"it cannot be read ({error.strerror})")
    names = {path: path.removesuffix(" (deleted)").rpartition("/")[2] for path in paths}
    return LoadedRuntimes(
        pid=pid,
        paths=tuple(path for path in paths if BUNDLED_OPENMP.fullmatch(names[path])),
        preloaded=tuple(preloaded({name: value for name, _, value in pairs})),
    )
