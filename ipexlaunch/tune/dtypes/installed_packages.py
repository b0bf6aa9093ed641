"""What a Python has installed of what decides over kernels: read from its folders, else asked of itself."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable

from ipexlaunch.doctor.host_files_read import Unread
from ipexlaunch.doctor.read import read_interpreter
from ipexlaunch.errors import LaunchError
from ipexlaunch.launch.find_libraries import interpreter_prefixes
from ipexlaunch.launch.try_programs import answer_of
from ipexlaunch.models.engines.software import PACKAGES, Software

ASK = """
import importlib.metadata, json, sys
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
print(json.dumps([version(name) for name in sys.argv[1:]]))
"""


def software_of(python: str) -> Software:
    """The versions in an interpreter's environment; what its folders do not show, it is asked for.

    PYTHONPATH, .pth files and a user's own folder bring packages from elsewhere (the documentation of `site`).

    Args:
        python: its path, or a name that is looked up as a shell would.

    Raises:
        LaunchError: it is not there, or is no Python whose folders can be found.
    """
    path = shutil.which(python) or python
    found = read_interpreter(path, interpreter_prefixes(path))
    packages = {} if isinstance(found, Unread) else found.packages
    versions = {field: packages[package].value for field, package in PACKAGES.items() if package in packages}
    if "torch" in versions and "ipex" in versions:
        return Software(**versions)
    asked = versions_told(path, PACKAGES.values())
    if asked is None and isinstance(found, Unread):
        raise LaunchError(f"see what {python} has installed", found.problem, "name the workers' Python with --python")
    more = {field: asked[package] for field, package in PACKAGES.items() if asked and package in asked}
    return Software(**{**versions, **more})


def versions_told(python: str, packages: Iterable[str]) -> dict[str, str] | None:
    """The versions of those packages that an interpreter says it finds; None where it does not answer.

    Args:
        python: its path.
        packages: names on the package index.
    """
    names = list(packages)
    told = answer_of((python, "-c", ASK, *names), os.environ)
    try:
        versions = json.loads(told) if told else None
    except ValueError:  # something of its site prints at its end
        return None
    if not isinstance(versions, list) or len(versions) != len(names):
        return None
    return {name: version for name, version in zip(names, versions, strict=True) if version}
