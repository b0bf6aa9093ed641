"""How another process, perhaps on another host, starts this very ipexlaunch."""

from __future__ import annotations

import os
import sys


def own_command() -> tuple[str, ...]:
    """The words before the command's own: the program that was started, or the interpreter that runs it as a module."""
    program = os.path.abspath(sys.argv[0])
    if os.path.basename(program) == "ipexlaunch" and os.access(program, os.X_OK):
        return (program,)
    return (sys.executable, "-m", "ipexlaunch")
