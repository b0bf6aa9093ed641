"""Run a command under a seccomp filter that answers EPERM to the memory policy calls, as Docker's does.

    python refuse_memory_policy.py COMMAND [ARGUMENT ...]

Docker's default filter lets these calls through only with CAP_SYS_NICE (moby, profiles/seccomp/default.json). The
filter is inherited by everything that the command starts. Source of the layout: Documentation/userspace-api/
seccomp_filter.rst and linux/filter.h, linux/seccomp.h. Only the standard library: this runs with `python -I -S`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

MBIND, SET_MEMPOLICY, GET_MEMPOLICY, SET_MEMPOLICY_HOME_NODE = 237, 238, 239, 450
REFUSED = (MBIND, SET_MEMPOLICY, GET_MEMPOLICY, SET_MEMPOLICY_HOME_NODE)
"""Numbers of x86_64 (arch/x86/entry/syscalls/syscall_64.tbl)."""

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
AUDIT_ARCH_X86_64 = 0xC000003E
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
RETURN_ERRNO, RETURN_ALLOW = 0x00050000, 0x7FFF0000
OFFSET_NR, OFFSET_ARCH = 0, 4


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def filter_program(refused: tuple[int, ...]) -> bytes:
    """The classic BPF program: EPERM for these calls of x86_64, everything else allowed."""
    steps = [(LOAD_WORD, 0, 0, OFFSET_ARCH), (JUMP_IF_EQUAL, 0, len(refused) + 1, AUDIT_ARCH_X86_64)]
    steps.append((LOAD_WORD, 0, 0, OFFSET_NR))
    steps += [(JUMP_IF_EQUAL, len(refused) - position, 0, call) for position, call in enumerate(refused)]
    steps += [(RETURN, 0, 0, RETURN_ALLOW), (RETURN, 0, 0, RETURN_ERRNO | errno.EPERM)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def install(program: bytes) -> None:
    """Put this process and all its descendants under the filter, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    value = Program(len(program) // 8, program)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(value)
    ):
        code = ctypes.get_errno()
        raise OSError(code, f"the seccomp filter was refused: {os.strerror(code)}")


if __name__ == "__main__":
    install(filter_program(REFUSED))
    os.execvp(sys.argv[1], sys.argv[1:])
