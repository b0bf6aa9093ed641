"""Imports torch and an engine's package in the order they need, or says in one line what is not installed."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import warnings
from importlib import metadata

from ipexlaunch.errors import LaunchError
from ipexlaunch.models.engines.candidate import Candidate, Engine

_TELL_NOTHING = {
    # IPEX replaces operators of torch, and torch would tell each at length.
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
_STAY_LOCAL = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Nothing is ever downloaded: a model is a directory or random."""

_TALKATIVE = ("torchao", "torch.utils._pytree", "torch.utils.cpp_extension", "transformers")
"""Loggers that warn at import of kernels for other devices and of each other's deprecations."""

_INSTALL = {"ipex": 'pip install "ipexlaunch[ipex]"', "torch": 'pip install "ipexlaunch[torch]"', "eager": ""}
_IPEX_MODULE = "intel_extension_for_pytorch"


def import_engine(candidate: Candidate) -> dict[str, str]:
    """Import what the candidate needs, before anything is loaded, and tell the versions.

    Args:
        candidate: what will run.

    Returns:
        Version of each package by its name on the package index.

    Raises:
        LaunchError: a package is missing or cannot be loaded; the message has the command that installs it.
    """
    for name, value in {**_TELL_NOTHING, **_STAY_LOCAL}.items():
        os.environ.setdefault(name, value)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    # They warn of each other's deprecations, call after call; nobody who runs a model can do anything about that.
    warnings.filterwarnings("ignore", module=r"(torch|torchao|transformers|intel_extension_for_pytorch)(\.|$)")
    packages = packages_of(candidate)
    missing = [package for module, package in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise _not_installed(candidate.engine, f"{sys.executable} has no {' and no '.join(missing)}")
    for module, package in packages.items():  # IPEX wants torch to be there already
        try:
            importlib.import_module(module)
            if module == _IPEX_MODULE:  # not before: its logger is of a class of its own
                logging.getLogger("IPEX").setLevel(logging.ERROR)
        except (ImportError, OSError) as error:
            told = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise _not_installed(candidate.engine, f"{package} of {sys.executable} cannot be loaded: {told}") from error
        except SystemExit as error:  # IPEX exits on a processor or a torch that it does not know
            raise _not_installed(candidate.engine, f"{package} of {sys.executable} refused to load") from error
    return {package: metadata.version(package) for package in packages.values()}


def packages_of(candidate: Candidate) -> dict[str, str]:
    """The modules that a candidate needs, in the order of import, with the packages that hold them."""
    packages = {"torch": "torch", "transformers": "transformers"}
    if candidate.engine == "ipex":
        packages = {"torch": "torch", _IPEX_MODULE: "intel-extension-for-pytorch", "transformers": "transformers"}
    if candidate.engine == "torch" and candidate.scheme:
        packages["torchao"] = "torchao"
    return packages


def _not_installed(engine: Engine, found: str) -> LaunchError:
    command = _INSTALL[engine] or f"{_INSTALL['torch']}, or {_INSTALL['ipex']}"
    return LaunchError(
        f"run engine {engine}", found, f"install it there with {command}, or name another interpreter with --python"
    )
