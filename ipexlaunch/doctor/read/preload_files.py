"""Find the files that LD_PRELOAD names, as the dynamic linker would."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

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
