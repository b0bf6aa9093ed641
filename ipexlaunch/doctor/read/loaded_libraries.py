"""Which OpenMP runtimes a running process has mapped, and what was preloaded into it."""

from __future__ import annotations

from ipexlaunch.doctor.host_facts import LoadedRuntimes
from ipexlaunch.doctor.host_files_read import Unread
from ipexlaunch.doctor.preloads import preloaded_in
from ipexlaunch.doctor.read.host_files import is_live
from ipexlaunch.doctor.read.interpreter_files import BUNDLED_OPENMP
from ipexlaunch.machine.find_thread_starts import ThreadStarts
from ipexlaunch.machine.proc_files import names_in


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
    runtimes = tuple(path for path in paths if BUNDLED_OPENMP.fullmatch(names[path]))
    return LoadedRuntimes(
        pid=pid,
        paths=runtimes,
        with_threads=_with_threads(pid, runtimes) if is_live(root) and len(runtimes) > 1 else None,
        preloaded=tuple(preloaded_in({name: value for name, _, value in pairs})),
    )


def _with_threads(pid: int, runtimes: tuple[str, ...]) -> tuple[str, ...] | None:
    threads = [int(name) for name in names_in(f"/proc/{pid}/task")]
    begun = ThreadStarts(pid).files_of(threads)
    return tuple(path for path in runtimes if path in begun) if begun or len(threads) == 1 else None
