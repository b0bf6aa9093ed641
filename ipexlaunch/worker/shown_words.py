"""A forked process's command and variables, in Python and where the kernel reads them: in the place of its parent's.

Source: proc(5), /proc/PID/cmdline and environ; arg_start to env_end in /proc/PID/stat.
"""

import ctypes
import os
import struct

ENDS_OF_ARGUMENTS = (48, 49)
ENDS_OF_VARIABLES = (50, 51)
START_OF_HEAP = 47
PLACES = (26, 27, 45, 46, START_OF_HEAP, 28, *ENDS_OF_ARGUMENTS, *ENDS_OF_VARIABLES)
"""Fields of /proc/PID/stat: what struct prctl_mm_map begins with, but for the end of the heap."""

PR_SET_MM = 35
PR_SET_MM_MAP = 14
MAP_BYTES = 104
"""Of a struct prctl_mm_map. Source: linux/prctl.h."""


def set_variables(variables: "dict[str, str | None]") -> None:
    """Set or remove these, also for who looks from outside, as far as there is room.

    Args:
        variables: the last ones of those that the process was started with.
    """
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value  # the C library's own copy: nothing refers to the template's any more
    names = {os.fsencode(name) for name in variables}
    begin, end = (_numbers()[field] for field in ENDS_OF_VARIABLES)
    at = 0
    for entry in ctypes.string_at(begin, end - begin).split(b"\0"):
        if entry.partition(b"=")[0] in names:
            break
        at += len(entry) + 1
    _overwrite(ENDS_OF_VARIABLES, [os.fsencode(f"{n}={v}") for n, v in variables.items() if v is not None], at)


def show_arguments(words: "list[str]") -> None:
    """Show this as the process's command, as far as there is room.

    Args:
        words: of the command.
    """
    _overwrite(ENDS_OF_ARGUMENTS, [os.fsencode(word) for word in words], 0)


def _overwrite(fields: "tuple[int, int]", words: "list[bytes]", at: int) -> None:
    """Put words in the place of those that the process was started with, from there on; what does not fit is cut."""
    begin, end = (_numbers()[field] for field in fields)
    room = end - begin - at
    if room > 0:
        text = b"".join(word + b"\0" for word in words)[: room - 1]
        ctypes.memmove(begin + at, text + b"\0" * (room - len(text)), room)
        _move(fields[1], begin + at + len(text))


def _move(end: int, to: int) -> None:
    """Have the kernel show no more than that; where it refuses (it is built without), empty words follow."""
    library = ctypes.CDLL(None)
    library.sbrk.restype = ctypes.c_void_p
    numbers = {**_numbers(), end: to}
    places = [numbers[field] for field in PLACES]
    places.insert(PLACES.index(START_OF_HEAP) + 1, library.sbrk(0))
    library.prctl(PR_SET_MM, PR_SET_MM_MAP, struct.pack("=11QQIi", *places, 0, 0, -1), MAP_BYTES, 0)


def _numbers() -> "dict[int, int]":
    """Fields of /proc/self/stat from the fourth on, counted from 1 as proc(5) does."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        values = file.read().rpartition(")")[2].split()[1:]  # the name before may hold anything
    return {number: int(value) for number, value in enumerate(values, 4)}
