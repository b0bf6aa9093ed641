"""Which Python runs the workers where none is named."""

from __future__ import annotations

import os
import sys


def workers_python() -> str:
    """The active environment's interpreter, else the launcher's own."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        python = os.path.join(os.environ.get(variable, ""), "bin", "python")
        if os.environ.get(variable) and os.access(python, os.X_OK):
            return python
    return sys.executable
