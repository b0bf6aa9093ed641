"""The guest's first file system, as an archive in the kernel's format.

Source: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux kernel ("newc" cpio).
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from itertools import count

from tests.guest.firmware import madt
from tests.guest.scripts import INIT
from tests.guest.shape import Shape


def initramfs(shape: Shape, busybox: bytes, modules: Mapping[str, bytes]) -> bytes:
    """The archive: the cpu table first (the kernel looks for it before it unpacks), then busybox, modules and init.

    Args:
        shape: the guest's machine.
        busybox: the statically linked program.
        modules: file name to content, in the order in which they are loaded.
    """
    inodes = count(1)
    parts = [_member(next(inodes), "kernel/firmware/acpi/madt.aml", stat.S_IFREG | 0o644, madt(shape))]
    parts += [_member(next(inodes), name, stat.S_IFDIR | 0o755, b"") for name in ("bin", "modules", "dev", "proc")]
    parts.append(_member(next(inodes), "bin/busybox", stat.S_IFREG | 0o755, busybox))
    for position, (name, content) in enumerate(modules.items()):
        parts.append(_member(next(inodes), f"modules/{position:02}-{name}", stat.S_IFREG | 0o644, content))
    parts.append(_member(next(inodes), "init", stat.S_IFREG | 0o755, INIT.encode()))
    parts.append(_member(0, "TRAILER!!!", 0, b""))
    return b"".join(parts)


def _member(inode: int, name: str, mode: int, content: bytes) -> bytes:
    owner = group = modified = device_major = device_minor = special_major = special_minor = checksum = 0
    numbers = (
        *(inode, mode, owner, group, 1, modified, len(content)),
        *(device_major, device_minor, special_major, special_minor, len(name) + 1, checksum),
    )
    head = "070701" + "".join(f"{number:08X}" for number in numbers) + name + "\0"
    return _padded(head.encode()) + _padded(content)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)
