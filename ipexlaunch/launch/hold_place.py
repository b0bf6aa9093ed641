"""Hold a place for one run at a time: whoever comes second is refused while the first one lives, on any host.

A hold is a file that says who has the place. It is linked into place whole, which is atomic on local and on network
file systems (link(2), NOTES: where the answer to a link was lost, the link count tells); flock is not. Its owner locks
it all the same: under one kernel, which the boot id tells, such a lock holds wherever the file lies, so that another
container of the same host can tell that the owner has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import time
from typing import Any

from ipexlaunch.errors import HeldError

LOCKED = "locked"
"""In the file: its owner has a lock on it as long as it lives."""

LONGEST = 4096
"""Bytes of the file that are read."""

_SINCE = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

ROUNDS = 5
"""So often another one may take the place between two looks."""


class Hold:
    """A place that is ours until `release`."""

    def __init__(self, path: str, descriptor: int | None = None) -> None:
        """Take over a hold.

        Args:
            path: of the file that says so.
            descriptor: of it, locked; None where it could not be.
        """
        self.path = path
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have it; a second call does nothing."""
        path, self.path = self.path, ""
        descriptor, self._descriptor = self._descriptor, None
        with contextlib.suppress(OSError):  # the directory may be gone by now, or for reading only
            if path and _is_ours(_who_has(path)):
                os.unlink(path)
        if descriptor is not None:
            os.close(descriptor)


def hold_place(path: str, wanted: str, hint: str, *, take_over: bool | None = None) -> Hold:
    """Hold a place; that of a launcher that is certainly dead is taken over.

    Args:
        path: of the file that will say who has it; its directory exists.
        wanted: what for, as a phrase for the message.
        hint: what would work, where another one has it.
        take_over: whether a launcher of which nothing can be told from here is dead by the user's word (--take-over);
            None where a command has no such option.

    Raises:
        HeldError: a launcher that lives has it, or one of whom that cannot be told from here.
        OSError: the file cannot be made.
    """
    ours = _ourselves()
    for _ in range(ROUNDS):
        if _link_whole(path, json.dumps(ours) + "\n"):
            return Hold(path, _lock(path))
        theirs = _who_has(path)
        if theirs is None:
            continue  # it was let go just now
        if _is_ours(theirs):
            return Hold("")  # this launcher has it already, and lets go of it once
        if (
            not _is_dead(theirs, ours)
            and not _was_left(path, theirs, ours)
            and not (take_over and _is_out_of_sight(theirs, ours))
        ):
            cure = f"remove {path}" if take_over is None else "--take-over"
            where = f" (if that one is dead: {cure})" if _is_out_of_sight(theirs, ours) else ""
            raise HeldError(wanted, f"{_words_for(theirs)}{where}", hint)
        _remove_dead(path, theirs)
    raise HeldError(wanted, f"others take it at this moment (if nobody does: remove {path}.turn)", hint)


def _is_ours(found: dict[str, Any] | None) -> bool:
    return found is not None and {key: value for key, value in found.items() if key != LOCKED} == _ourselves()


def _words_for(theirs: dict[str, Any]) -> str:
    if not {"pid", "host", "since"} <= theirs.keys():
        return "another launcher is at work there, of which nothing can be read"
    return f"launcher {theirs['pid']} on {theirs['host']} is at work there since {theirs['since']}"


def _link_whole(path: str, text: str) -> bool:
    """Make the file with its text, unless there is one; whether it is ours."""
    fresh = f"{path}.{os.urandom(6).hex()}"
    descriptor = os.open(fresh, NEW, _mode_in(path))
    try:
        try:
            os.write(descriptor, text.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(fresh, path, follow_symlinks=False)
        except FileExistsError:
            pass
        except OSError:
            return _create(path, text)  # a file system that knows no links
        return os.stat(fresh).st_nlink == 2
    finally:
        os.unlink(fresh)


def _create(path: str, text: str) -> bool:
    """The same without a link; for a moment the file is empty, and whoever looks then takes it for a living one's."""
    try:
        descriptor = os.open(path, NEW, _mode_in(path))
    except FileExistsError:
        return False
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
    return True


def _mode_in(path: str) -> int:
    """Other users who may write there are told who does; in a private directory it is private."""
    return 0o644 if os.stat(os.path.dirname(path) or ".").st_mode & 0o077 else 0o600


def _who_has(path: str) -> dict[str, Any] | None:
    """What the file says; None where there is none, nothing that is known where it cannot be understood."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        return {}
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return {}
        found = json.loads(os.read(descriptor, LONGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    finally:
        os.close(descriptor)
    return found if isinstance(found, dict) else {}


def _ourselves() -> dict[str, Any]:
    """Who we are, so that anybody on this host can tell whether we live."""
    pid, machine = os.getpid(), _text("/etc/machine-id")
    return {
        "host": os.uname().nodename,
        "machine": machine and hashlib.sha256(machine.encode()).hexdigest(),  # machine-id(5): it is confidential
        "boot": boot_id(),
        "processes": _namespace(),
        "pid": pid,
        "started": _start_of(pid),
        "since": _SINCE,
    }


def boot_id() -> str:
    """What tells this start of this host's kernel from every other; "" where it does not say it."""
    return _text("/proc/sys/kernel/random/boot_id")


def _is_dead(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether it was a launcher of this host that has certainly ended; a process id alone may be another's by now."""
    if any(theirs.get(key) != ours[key] for key in ("host", "machine")) or not isinstance(theirs.get("pid"), int):
        return False
    if theirs.get("boot") != ours["boot"]:
        return bool(theirs.get("boot") and ours["machine"])
    if theirs.get("processes") != ours["processes"]:
        return False
    start = _start_of(theirs["pid"])
    return start != theirs.get("started") and not (start is None and _is_hidden(theirs["pid"]))


def _lock(path: str) -> int | None:
    """Lock a hold of ours; its descriptor, None where this file system has no locks, or others look at it just now."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.pwrite(descriptor, (json.dumps({**_ourselves(), LOCKED: True}) + "\n").encode(), 0)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _was_left(path: str, theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether a launcher under this very kernel, in another container, has let go of its lock: it has ended."""
    if not theirs.get(LOCKED) or not theirs.get("boot") or theirs["boot"] != ours["boot"]:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return os.fstat(descriptor).st_nlink > 0
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _is_out_of_sight(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether it is none of the processes that can be seen from here."""
    known = isinstance(theirs.get("pid"), int)
    return not known or any(theirs.get(key) != ours[key] for key in ("host", "machine", "boot", "processes"))


def _remove_dead(path: str, theirs: dict[str, Any]) -> None:
    """Remove the hold of a dead launcher; of several who find it one does so, and nobody removes a new one.

    Raises:
        OSError: it cannot be removed.
    """
    turn = f"{path}.turn"
    try:
        os.mkdir(turn, 0o700)
    except FileExistsError:
        return  # another one is at it; the next round shows who has the place
    try:
        if _who_has(path) == theirs:
            os.unlink(path)
    finally:
        os.rmdir(turn)


def _start_of(pid: int) -> int | None:
    """When a process began, in the kernel's ticks; None where there is none, or it has ended and is not collected.

    Source: proc_pid_stat(5), fields 3 and 22.
    """
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[0] not in "ZXx" else None


def _is_hidden(pid: int) -> bool:
    """Whether there is such a process of another user, of whom /proc tells nothing (hidepid, in proc(5))."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST).strip()
    except OSError:
        return ""
