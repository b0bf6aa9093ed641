"""Where this user's files are kept, by which names, and whether what lies there is this user's own."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import pwd
import stat
import tempfile
from collections.abc import Mapping


def user_directory(environment: Mapping[str, str], variable: str, below_home: str) -> str:
    """The directory that an XDG variable names, or its place below the home directory.

    Where there is no home (a container's user without HOME and without an entry in /etc/passwd) it is one below the
    directory for temporary files, of that name for this user only; it may be gone at the next start.

    Args:
        environment: the process's variables.
        variable: such as "XDG_CACHE_HOME"; a relative path in it is ignored, as the specification says.
        below_home: such as ".cache".

    Source: XDG Base Directory Specification 0.8.
    """
    base = environment.get(variable, "")
    if os.path.isabs(base):
        return base
    home = home_directory(environment)
    if not home:
        home = homeless_directory()
        with contextlib.suppress(OSError):  # whoever writes there says why that is not possible
            os.mkdir(home, 0o700)
        if why_untrusted(home, code=True):  # somebody was there first
            home = tempfile.mkdtemp(prefix="ipexlaunch-home-")
    return os.path.join(home, below_home)


def cache_directory(environment: Mapping[str, str]) -> str:
    """$XDG_CACHE_HOME/ipexlaunch/dtypes, or below ~/.cache (XDG Base Directory Specification 0.8).

    Args:
        environment: the process's variables; a relative path in XDG_CACHE_HOME is ignored, as the specification says.
    """
    return os.path.join(user_directory(environment, "XDG_CACHE_HOME", ".cache"), "ipexlaunch", "dtypes")


def homeless_directory() -> str:
    """What stands for the home directory of a user without one."""
    return os.path.join(tempfile.gettempdir(), f"ipexlaunch-home-{os.getuid()}")


def why_untrusted(path: str, *, code: bool) -> str:
    """Why what lies under the path may not be believed or run: another user could have put it there; else "".

    Args:
        path: of a file or a directory; what is not there is nobody else's.
        code: whether it will be run; then not even its group may write there.
    """
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{path}: {error.strerror}"
    if stat.S_ISLNK(state.st_mode):
        target = os.path.realpath(path)
        return why_untrusted(target, code=code) if target != path else f"{path} is a link to itself"
    if state.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to user {state.st_uid}"
    if state.st_mode & (stat.S_IWOTH | (stat.S_IWGRP if code else 0)):
        return f"{path} can be written by others (mode {stat.S_IMODE(state.st_mode):o})"
    return ""


def digest(key: Mapping[str, object]) -> str:
    """A name for a key of anything that JSON can hold: equal keys have equal names in every process."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def make_private(path: str) -> None:
    """Make a directory and those above it; what is made is its owner's alone.

    Args:
        path: which may exist.

    Raises:
        OSError: it cannot be made.
    """
    if not os.path.isdir(path):
        above = os.path.dirname(os.path.abspath(path))
        if above != path:
            make_private(above)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise


def home_directory(environment: Mapping[str, str]) -> str:
    """The user's; "" where there is none, so that what is kept may be gone at the next start.

    Args:
        environment: the process's variables.
    """
    home = environment.get("HOME", "")
    if os.path.isabs(home):
        return home
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""
    return home if os.path.isabs(home) else ""


def name_where_nobody_knows_one() -> dict[str, str]:
    """The variable that names this user where neither the variables nor the list of users do; else none.

    torch before 2.9 asks for the name when its compiler is imported, which IPEX does, and dies without one: in a
    container that runs as a number. The name is the one that later releases take (torch/_inductor/runtime/
    cache_dir_utils.py).
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return {"LOGNAME": f"uid_{os.getuid()}"}
    return {}
