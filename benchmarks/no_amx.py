"""Any program as on a processor without AMX: python benchmarks/no_amx.py PROGRAM [ARGUMENT]...

The kernel gives a process the tiles of AMX when it asks for them (arch_prctl, ARCH_REQ_XCOMP_PERM), and libraries take
other instructions where it refuses. A filter (seccomp) refuses it here, for the program and all that it starts.
/proc/cpuinfo still names AMX, so give it a cache of its own: what was measured is kept by the processor's name.

    XDG_CACHE_HOME=runs/no-amx .venv/bin/python benchmarks/no_amx.py .venv/bin/python benchmarks/engines.py
"""

import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
"""linux/prctl.h, linux/seccomp.h; who wants a filter and is not root must forgo new privileges first."""

ARCH_PRCTL, ARCH_REQ_XCOMP_PERM = 158, 0x1023
"""Of x86-64: asm/unistd_64.h, asm/prctl.h."""

LOAD, JUMP_UNLESS_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000

NUMBER, FIRST_ARGUMENT = 0, 16
"""Offsets in struct seccomp_data."""


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def main() -> None:
    instructions = b"".join(
        struct.pack("HBBI", *each)
        for each in (
            (LOAD, 0, 0, NUMBER),
            (JUMP_UNLESS_EQUAL, 0, 3, ARCH_PRCTL),
            (LOAD, 0, 0, FIRST_ARGUMENT),
            (JUMP_UNLESS_EQUAL, 0, 1, ARCH_REQ_XCOMP_PERM),
            (RETURN, 0, 0, ERRNO | errno.EPERM),
            (RETURN, 0, 0, ALLOW),
        )
    )
    held = ctypes.create_string_buffer(instructions)
    program = Program(len(instructions) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    told = (PR_SET_NO_NEW_PRIVS, 1, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))
    for option, value, more in told:
        if libc.prctl(option, value, more, 0, 0) != 0:
            sys.exit(f"no_amx: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main()
