"""`--profile` of run and bench: the setting that tune found for this program on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from ipexlaunch.cli.options.check_files import check_overlaps
from ipexlaunch.cli.options.check_options import check_options
from ipexlaunch.cli.terminal import spoken
from ipexlaunch.machine.probe.sources import open_topology
from ipexlaunch.measure.format_number import format_number
from ipexlaunch.tune.dtypes.model_fingerprint import identity_of
from ipexlaunch.tune.profile import Profile
from ipexlaunch.tune.profile_store import find_profile, plan_path, profile_path

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def profile_option(function: Decorated) -> Decorated:
    """Add the option to a command."""
    words = "Use what `ipexlaunch tune` found best for this program on this machine."
    return click.option("--profile", is_flag=True, help=words)(function)


def program_key(program: str, options: dict[str, Any]) -> str:
    """What a profile of a program is filed under, beside the machine.

    Args:
        program: script, module or executable.
        options: the command's keyword arguments.
    """
    import shutil

    if options["module"]:
        return f"module:{program}"
    if options["no_python"]:
        return f"executable:{os.path.realpath(shutil.which(program) or program)}"
    return f"script:{os.path.realpath(program)}"


def model_key(model: str, task: str) -> str:
    """The same for a model.

    Args:
        model: directory or random:NAME.
        task: what it does.
    """
    return f"model:{identity_of(model)}:{task}"


def apply_profile(context: click.Context, options: dict[str, Any], key: str) -> Profile:
    """Set the options that a profile says, but for those that were given on the command line.

    Args:
        context: of the command.
        options: the command's keyword arguments; changed.
        key: from `program_key` or `model_key`.

    Raises:
        RequestError: there is no profile for this program on this machine, or it would be written over.
        UsageError: an option goes with none of what the profile says.
        DocumentError: it cannot be read.
    """
    path = profile_path(os.environ, open_topology("live").fingerprint, key)
    profile = find_profile(path, key)
    setting = profile.setting
    wanted = {
        "plan_file": plan_path(path),
        "memory_allocator": setting.allocator,
        "omp_runtime": setting.runtime,
        "batch_size": setting.batch_size or None,
        "engine": profile.engine or None,
        "dtype": profile.dtype or None,
        "quantization": profile.quantization or None,
        # They were measured by the search: to weigh them against fp32 once more would only delay the start.
        "force_dtype": bool(profile.dtype),
    }
    for name, value in wanted.items():
        given = context.get_parameter_source(name) == ParameterSource.COMMANDLINE
        if name in options and value is not None and not given:
            options[name] = value
    check_options(context, options)
    check_overlaps(options, [("the profile", path)])
    text = f"profile of {profile.written}: {setting.words}, {format_number(profile.rate)} items/s then"
    print(f"ipexlaunch: {spoken(text)}", file=sys.stderr, flush=True)
    return profile


def with_batch_size(arguments: tuple[str, ...], batch_size: int, option: str) -> tuple[str, ...]:
    """The program's arguments with its batch size: in place of {batch_size}, and after the option where it has one.

    Args:
        arguments: as they were typed.
        batch_size: 0 leaves them alone.
        option: "" for none.
    """
    if not batch_size:
        return arguments
    words = (*arguments, *((option, str(batch_size)) if option else ()))
    return tuple(word.replace("{batch_size}", str(batch_size)) for word in words)
