"""Whether the script counts its work itself, by ipexlaunch.worker: then nobody else does."""

from __future__ import annotations

import sys
from types import ModuleType


def counts_itself(worker: ModuleType) -> str:
    """Name of a module of the script that has ipexlaunch.worker and speaks of ready; "" where there is none.

    A script that only takes its `index` from there does not count. What stands in the source decides, because the call
    itself comes after the warm-up, too late.

    Args:
        worker: ipexlaunch.worker.
    """
    for name, module in list(sys.modules.items()):
        if module is worker or name.startswith("ipexlaunch") or not isinstance(module, ModuleType):
            continue
        has_it = any(value is worker or value is worker.ready for value in list(vars(module).values()))
        if has_it and _says_ready(module):
            return name
    return ""


def _says_ready(module: ModuleType) -> bool:
    path = getattr(module, "__file__", None)
    if not path:
        return False
    try:
        with open(path, "rb") as file:
            return b"ready" in file.read()
    except OSError:
        return True  # better no rate, with a note, than two that disturb each other
