"""Ask the `numa` package of the registry, where it is installed, for its idea of the nodes; for cross-checking only.

Two packages share the import name (numa 1.4.6 and py-libnuma 1.2). Only their queries are called: setting a policy by
them fails without an error or ends the process.
"""

from __future__ import annotations

import importlib
import importlib.util

from ipexlaunch.doctor.host_facts import NumaPackage
from ipexlaunch.doctor.host_files_read import Unread


def read_numa_package(name: str = "numa") -> NumaPackage | Unread | None:
    """What the package says; None where it is not installed, `Unread` where it is and fails.

    Args:
        name: its import name; another one in tests.
    """
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    where = spec.origin or name
    try:
        module = importlib.import_module(name)
        if hasattr(module, "get_max_node"):  # numa 1.4
            return NumaPackage(where, highest_id=int(module.get_max_node()) if module.available() else None)
        info = importlib.import_module(f"{name}.info")  # py-libnuma
        return NumaPackage(where, count=int(info.get_num_configured_nodes()) if info.numa_available() else None)
    except Exception as error:  # foreign code: py-libnuma raises AttributeError at import where libnuma is missing
        return Unread(where, f"it fails with {type(error).__name__}: {error}")
