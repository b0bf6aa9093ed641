"""Brings a template of scripts to where it forks: after the heavy imports, or wherever the script calls split()."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import zipfile
from collections.abc import Iterator
from functools import partial

from ipexlaunch.models.scripts.heavy_imports import ScriptTop, calls_split, read_top
from ipexlaunch.models.scripts.runner_arguments import ScriptCommand, parse_command
from ipexlaunch.worker import template


def share_start(command: ScriptCommand) -> ScriptCommand:
    """What is to be run from here on: in each worker its own command, in the template the program up to its split().

    Args:
        command: of the template.
    """
    source = _source_of(command)
    if source is None:
        template.refuse(f"{command.program} has no source that could be read")
        return command
    if template.mode() == "model":
        if not calls_split(source):
            template.refuse(f"{command.program} never calls ipexlaunch.worker.split()")
        return command
    folder = _folder_of(command)
    top = read_top(source, partial(_own_source, folder))
    if top.problem:
        template.refuse(f"{command.program}: {top.problem}")
    _import_once(top, folder)
    if hidden := _hides(folder):
        template.refuse(f"{os.path.join(folder, hidden)} has the name of a module that is imported already")
    return parse_command(template.serve("imports")["words"])


def _folder_of(command: ScriptCommand) -> str:
    """The folder that stands first in the program's sys.path."""
    if command.is_module:
        return os.getcwd()
    path = os.path.realpath(command.program)
    return path if os.path.isdir(path) else os.path.dirname(path)


def _source_of(command: ScriptCommand) -> bytes | None:
    path: str | None = command.program
    if command.is_module:
        path = _path_of_module(command.program, _folder_of(command))
    elif os.path.isdir(command.program):
        path = os.path.join(command.program, "__main__.py")
    return None if path is None or path.endswith(".pyc") or zipfile.is_zipfile(path) else _read(path)


def _own_source(folder: str, module: str) -> bytes | None:
    path = os.path.join(folder, *module.split("."))
    return _read(f"{path}.py") or _read(f"{path}/__init__.py")


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _path_of_module(name: str, folder: str) -> str | None:
    """The file that `python -m NAME` would run, as far as that can be told without importing anything."""
    first, _, rest = name.partition(".")
    with _first_in_path(folder):
        found = importlib.util.find_spec(first)
    if found is None or not found.submodule_search_locations:
        return found.origin if found is not None and not rest else None
    path = os.path.join(next(iter(found.submodule_search_locations)), *rest.split("."))
    return os.path.join(path, "__main__.py") if os.path.isdir(path) else f"{path}.py"


@contextlib.contextmanager
def _first_in_path(folder: str) -> Iterator[None]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _import_once(top: ScriptTop, folder: str) -> None:
    """Import what the script names; what is not there is not there for the script either, which says so or goes on.

    The variables that it sets are set for the imports alone: it will set them itself.
    """
    before = dict(os.environ)
    for variable in top.variables:
        if not (variable.only_where_missing and variable.name in os.environ):
            os.environ[variable.name] = variable.value
    for module, names in top.imports:
        with _first_in_path(folder):
            found = importlib.util.find_spec(module.partition(".")[0])
        if found is None or _is_own(found.origin, folder, found.name):
            continue  # not installed, or the script's own module of that name
        try:
            imported = importlib.import_module(module)
            for name in names:
                if not hasattr(imported, name):
                    importlib.import_module(f"{module}.{name}")
        except ImportError:
            continue
        except Exception as error:  # the package's own: the script deals with it, or shows it
            template.refuse(f"importing {module} raises {type(error).__name__}: {error}")
    for variable in top.variables:
        if variable.name in before:
            os.environ[variable.name] = before[variable.name]
        else:
            os.environ.pop(variable.name, None)


def _hides(folder: str) -> str:
    """A module in the script's folder that it would import, were there not another of its name already; "" for none."""
    for entry in sorted(os.listdir(folder)):
        name, end = os.path.splitext(entry)
        loaded = sys.modules.get(name)
        is_module = end == ".py" or os.path.isfile(os.path.join(folder, entry, "__init__.py"))
        if not is_module or loaded is None or name in ("__main__", *sys.builtin_module_names):
            continue
        if not _is_own(getattr(loaded, "__file__", None), folder, name):
            return entry
    return ""


def _is_own(file: str | None, folder: str, name: str) -> bool:
    """Whether this is the script's own module of that name."""
    return os.path.dirname(os.path.realpath(file or "")) in (folder, os.path.join(folder, name))
