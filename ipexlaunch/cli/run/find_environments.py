"""Finds the environments whose engines are compared where no interpreter is named."""

from __future__ import annotations

import os

from ipexlaunch.cli.options.option_types import workers_python
from ipexlaunch.tune.dtypes.context import installed_software

MADE = (".venv-torch", ".venv-ipex")
"""The environments with engines that `make env` makes, beside the launcher's own .venv."""


def made_environments() -> tuple[str, ...]:
    """The interpreters where none is named: the active environment's; of those that `make` has made, all with engines.

    Nothing is looked for but beside that environment, and there by these names only.
    """
    own = workers_python()
    folder, name = os.path.split(os.path.dirname(os.path.dirname(os.path.abspath(own))))
    if name not in (".venv", *MADE):
        return (own,)
    beside = [os.path.join(folder, each, "bin", "python") for each in MADE]
    found = [own, *(path for path in beside if os.access(path, os.X_OK) and path != os.path.abspath(own))]
    return tuple(path for path in found if installed_software(path).torch) or (own,)
