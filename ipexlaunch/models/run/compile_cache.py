"""Compiled programs in a directory, made once for each kind of worker: the first compiles, the others wait and load.

A program is one file or several that need neither tracing nor a compiler to start. They hold the weights in the form
that the kernels want, so its key names everything that went into it: versions, processor, threads, weights, candidate,
shapes.
What oneDNN itself generates at run time lives in each process's memory only and cannot be kept.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import IO, Any, Literal

from ipexlaunch.models.engines.model_job import CACHE_LIMIT_BYTES
from ipexlaunch.models.user_directory import digest, make_private, why_untrusted

_FILES = "files"
_COMPLETE = "complete.json"
_LOCK = "lock"
"""Held by the process that builds there."""
_USED = "used"
"""Held, shared, by all that use what lies there, as long as they live."""
_BUILDING = "building"

KEPT_UNUSED_S = 30 * 86400.0
"""A program that no worker started from for so long is removed when another one is built: each is as large as its
model's weights, and most belong to a torch, a model or a plan that is no longer used."""

_used_here: dict[Path, IO[str]] = {}
"""What this process uses, with the file that says so to others; the kernel forgets it with the process. A record lock
is the process's, not an object's, and is gone with any file on it that is closed: so it is one for all caches."""

Key = Mapping[str, object]
"""Everything that decides what a program is; anything that JSON can hold."""

Build = Callable[[Path], Mapping[str, object]]
"""Writes a program's files into an empty directory, and gives what should be kept beside them; anything that JSON can
hold."""

WAITING = "waiting for compilation"
COMPILING = "compiling"


@dataclass(frozen=True, kw_only=True)
class Program:
    """A compiled program as it lies in the cache."""

    path: Path
    """The directory of its files."""
    details: Mapping[str, object]
    """What its build gave, e.g. the shapes of its state."""
    cache: Literal["hit", "miss"]
    """miss: this process compiled it."""
    compile_s: float
    """Seconds that this process compiled; 0.0 on a hit."""
    wait_s: float
    """Seconds that this process waited for another one's compilation."""


class CompileCache:
    """Programs by their keys, below one directory."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        say: Callable[[str], None] = lambda _: None,
        warn: Callable[[str], None] = lambda text: print(f"ipexlaunch: {text}", file=sys.stderr, flush=True),
        now: Callable[[], float] = time,
        limit_bytes: int = CACHE_LIMIT_BYTES,
    ) -> None:
        """Nothing is created yet.

        Args:
            directory: where programs are kept; workers that share it share them.
            say: told "waiting for compilation" and "compiling" when they begin.
            warn: told why the directory is not used, where it is not this user's alone.
            now: seconds since the epoch, as files have them.
            limit_bytes: the least recently used make room for what is built, until all have no more than this; those
                in use stay.
        """
        self.directory = Path(directory)
        self.limit_bytes = limit_bytes
        self.say = say
        self.warn = warn
        self._told: set[str] = set()
        self._own: Path | None = None
        """Instead of the directory, where that is not this user's alone; it goes with the process."""
        self.now = now

    def program(self, key: Key, build: Build) -> Program:
        """The program of a key: the one that lies there, another process's when it is ready, or one built now.

        The lock is a POSIX record lock, which the kernel takes from a process that dies; the next one then builds.

        Args:
            key: everything that decides what the program is.
            build: called under the lock where there is none.
        """
        place = self._place(digest(key))
        found = _use(place)
        if found is not None:
            with contextlib.suppress(OSError):  # a cache that others filled may be for reading only
                os.utime(place / _COMPLETE, (self.now(), self.now()))
            return Program(path=place / _FILES, details=found, cache="hit", compile_s=0.0, wait_s=0.0)
        began = monotonic()
        with self._open_lock(place) as lock:
            if not _taken(lock):
                self.say(WAITING)
                fcntl.lockf(lock, fcntl.LOCK_EX)
            return self._found_or_built(place, key, build, monotonic() - began)

    def build_ahead(self, key: Key, build: Build) -> Program | None:
        """The program of a key if it is neither there nor being built: so that several processes build several.

        Args:
            key: everything that decides what the program is.
            build: called under the lock.
        """
        place = self._place(digest(key))
        if _use(place) is not None:
            return None
        with self._open_lock(place) as lock:
            return self._found_or_built(place, key, build, 0.0) if _taken(lock) else None

    def _open_lock(self, place: Path) -> IO[str]:
        make_private(str(place))
        return open(place / _LOCK, "a", encoding="utf-8")

    def _found_or_built(self, place: Path, key: Key, build: Build, waited_s: float) -> Program:
        """What another process has built before we had the lock, or what we build under it."""
        found = _use(place)
        if found is not None:
            return Program(path=place / _FILES, details=found, cache="hit", compile_s=0.0, wait_s=waited_s)
        self.say(COMPILING)
        began = monotonic()
        details = _build(place, key, build)
        _use(place)
        taken = monotonic() - began
        self._make_room()
        return Program(path=place / _FILES, details=details, cache="miss", compile_s=taken, wait_s=waited_s)

    def _place(self, name: str) -> Path:
        """Where the program of this name lies or will lie: a program is code, so nobody else may have put it there."""
        for place in (self.directory / name, self.directory / f"{name}-{os.geteuid()}"):
            parts = (self.directory, place, place / _COMPLETE, place / _FILES, *_below(place / _FILES))
            problem = next(filter(None, (why_untrusted(str(part), code=True) for part in parts)), "")
            if not problem:
                return place
            if problem not in self._told:
                self._told.add(problem)
                self.warn(f"what is compiled there is not used: {problem}")
        if self._own is None:
            self._own = Path(tempfile.mkdtemp(prefix="ipexlaunch-programs-"))
            atexit.register(shutil.rmtree, self._own, ignore_errors=True)
        return self._own / name

    def _make_room(self) -> None:
        """Remove what was not used for long, and of the rest the least recently used that is above the limit."""
        places = sorted((_last_used(lock.parent), lock.parent) for lock in self.directory.glob(f"*/{_LOCK}"))
        sizes = {place: sum(_sizes(place).values()) for _, place in places}
        kept = sum(sizes.values())
        for used_s, place in places:
            old = self.now() - used_s > KEPT_UNUSED_S
            if sizes[place] and (old or kept > self.limit_bytes) and place not in _used_here and _remove(place):
                kept -= sizes[place]


def _taken(lock: IO[str]) -> bool:
    """Whether the lock is ours now; it is not waited for."""
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX allows either for a lock that another process holds
        return False
    return True


def _complete(place: Path) -> dict[str, Any] | None:
    """What is kept beside a program that was finished; None where there is none, or the marker cannot be read."""
    try:
        marker = json.loads((place / _COMPLETE).read_text(encoding="utf-8"))
        details: dict[str, Any] = marker["details"]
        whole = _sizes(place / _FILES) == marker["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return details if whole else None


def _use(place: Path) -> dict[str, Any] | None:
    """What is kept beside a program that was finished, and from now on is not removed; None where there is none."""
    if place not in _used_here:
        try:
            used = open(place / _USED, encoding="utf-8")  # noqa: SIM115  # open until the process ends
        except OSError:
            return None
        fcntl.lockf(used, fcntl.LOCK_SH)  # who removes it holds it for a moment
        _used_here[place] = used
    return _complete(place)


def _build(place: Path, key: Key, build: Build) -> dict[str, object]:
    """Build aside and move; the marker comes last, so that what lies there without it is never used."""
    building = place / _BUILDING
    _clear(place)  # of a process that died here, of a program that is damaged
    (building / _FILES).mkdir(parents=True)
    try:
        # Through JSON, so that the first process sees what later ones will.
        details: dict[str, object] = json.loads(json.dumps(dict(build(building / _FILES))))
        marker = {"key": key, "details": details, "files": _sizes(building / _FILES)}
        (building / _COMPLETE).write_text(json.dumps(marker, indent=1), encoding="utf-8")
        for made in (building / _FILES, building / _COMPLETE, *_below(building / _FILES)):
            made.chmod(made.stat().st_mode & ~0o022)  # whatever the umask: it is read again only where that is so
        (place / _USED).touch()
        os.replace(building / _FILES, place / _FILES)
        os.replace(building / _COMPLETE, place / _COMPLETE)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return details


def _remove(place: Path) -> bool:
    """Remove a program that nobody builds or uses; whether it is gone."""
    # Another process may remove it at the same time, or the cache may not be ours to clean.
    with (
        contextlib.suppress(OSError),
        open(place / _LOCK, "a", encoding="utf-8") as lock,
        open(place / _USED, "a", encoding="utf-8") as used,
    ):
        for held in (lock, used):
            fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _clear(place)
        return True
    return False


def _clear(place: Path) -> None:
    """Remove what lies at a place, the marker first; the folder and its locks stay, somebody may wait at one."""
    (place / _COMPLETE).unlink(missing_ok=True)
    for left in place.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        elif left.name not in (_LOCK, _USED):
            left.unlink()


def _last_used(place: Path) -> float:
    """When a program was last started from; 0.0 for what is no whole program."""
    try:
        return (place / _COMPLETE).stat().st_mtime
    except OSError:
        return 0.0


def _below(directory: Path) -> list[Path]:
    """All that lies in a directory, at whatever depth; nothing of one that is not there."""
    return [Path(at, name) for at, folders, files in os.walk(directory) for name in (*folders, *files)]


def _sizes(directory: Path) -> dict[str, int]:
    """The bytes of each file in a directory, by its path there."""
    found: dict[str, int] = {}
    for path in _below(directory):
        with contextlib.suppress(FileNotFoundError):  # another process removes it
            if not path.is_dir():
                found[str(path.relative_to(directory))] = path.stat().st_size
    return found
