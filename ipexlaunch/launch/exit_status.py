"""How a process ended, in words."""

from __future__ import annotations

SIGNAL_NAMES = {
    1: "HUP",
    2: "INT",
    3: "QUIT",
    4: "ILL",
    6: "ABRT",
    7: "BUS",
    8: "FPE",
    9: "KILL",
    11: "SEGV",
    15: "TERM",
}
"""signal(7), the numbers that are the same on x86 and ARM."""

SIGNAL_MEANINGS = {
    4: "the program uses an instruction that this cpu does not have",
    9: "if nobody killed it by hand, the kernel did: out of memory (see dmesg)",
}


def describe_exit(code: int) -> str:
    """A process's return code in words, e.g. "ended with exit code 5" or "was killed by SIGKILL (...)"."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = SIGNAL_NAMES.get(-code)
    text = f"was killed by {f'SIG{name}' if name else f'signal {-code}'}"
    return f"{text} ({SIGNAL_MEANINGS[-code]})" if -code in SIGNAL_MEANINGS else text
