"""How large /dev/shm is."""

from __future__ import annotations

import os

from ipexlaunch.doctor.host_facts import FileSystemSize
from ipexlaunch.doctor.host_files_read import Unread


def read_shared_memory(path: str = "/dev/shm") -> FileSystemSize | Unread:
    """Size and free space of the file system there; `Unread` where it cannot be asked.

    Args:
        path: a folder.

    Source: statvfs(3).
    """
    try:
        answer = os.statvfs(path)
    except OSError as error:
        return Unread(path, f"it cannot be asked ({error.strerror})")
    return FileSystemSize(path, answer.f_blocks * answer.f_frsize, answer.f_bavail * answer.f_frsize)
