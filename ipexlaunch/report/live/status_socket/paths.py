"""Where the sockets of this user's runs are."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

SUFFIX = ".sock"
LONGEST_PATH = 107
"""Bytes of a socket's path without its end (unix(7), sun_path)."""


def directories(environment: Mapping[str, str], user: int, root: str = "/") -> list[str]:
    """The directories that a run may listen in, best first.

    A run inside a batch job has no XDG_RUNTIME_DIR where the same user's login session has one, so who looks for runs
    looks in all.

    Args:
        environment: the process's variables.
        user: numeric id.
        root: "/"; another directory in tests.

    Source: XDG Base Directory Specification 0.8 for XDG_RUNTIME_DIR.
    """
    bases = [environment.get("XDG_RUNTIME_DIR", ""), os.path.join(root, f"run/user/{user}")]
    found = [os.path.join(base, "ipexlaunch") for base in bases if os.path.isabs(base)]
    found.append(os.path.join(root, f"tmp/ipexlaunch-{user}"))
    return list(dict.fromkeys(found))


def problem_with(directory: str, user: int) -> str:
    """Why sockets in this directory are not to be trusted; empty where they are: /tmp is everybody's.

    Raises:
        OSError: it cannot be looked at.
    """
    state = os.lstat(directory)
    if not stat.S_ISDIR(state.st_mode):
        return f"{directory} is not a directory"
    if state.st_uid != user:
        return f"{directory} belongs to user {state.st_uid}"
    if state.st_mode & 0o077:
        return f"{directory} is open to others (mode {stat.S_IMODE(state.st_mode):o}, 700 wanted)"
    return ""


def name_of(pid: int) -> str:
    """A file name for a launcher's socket; two containers may share the directory and the process id."""
    return f"{pid}-{os.urandom(3).hex()}{SUFFIX}"


def pid_in(name: str) -> int | None:
    """The process id in a socket's name; None for other files."""
    pid = name.partition("-")[0]
    return int(pid) if name.endswith(SUFFIX) and pid.isdecimal() else None
