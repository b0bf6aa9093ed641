"""What a Python has installed of what decides over kernels, read from its folders; it is not started."""

from __future__ import annotations

import shutil

from ipexlaunch.doctor import read_interpreter
from ipexlaunch.engines.software import PACKAGES, Software
from ipexlaunch.errors import LaunchError
from ipexlaunch.find_libraries import interpreter_prefixes
from ipexlaunch.findings.reading import Unread


def software_of(python: str) -> Software:
    """The versions in an interpreter's environment.

    Args:
        python: its path, or a name that is looked up as a shell would.

    Raises:
        LaunchError: it is not there, or is no Python whose folders can be found.
    """
    path = shutil.which(python) or python
    found = read_interpreter(path, interpreter_prefixes(path))
    if isinstance(found, Unread):
        raise LaunchError(f"see what {python} has installed", found.problem, "name the workers' Python with --python")
    versions = {
        field: found.packages[package].value for field, package in PACKAGES.items() if package in found.packages
    }
    return Software(**versions)
