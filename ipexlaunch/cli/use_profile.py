"""The profile that `tune` leaves of a program or a model: what it is filed under, what it says of a run's options, and
the rate of one instance alone, which is measured at the end of `tune` and compared with by later runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import click

from ipexlaunch.cli.options import JobOptions, LaunchOptions, names_of
from ipexlaunch.cli.options.check_files import check_overlaps
from ipexlaunch.cli.options.checked_command import check_options, is_typed
from ipexlaunch.cli.terminal import tell
from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.documents.visible_text import format_number
from ipexlaunch.launch.job import Job
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.measure.scaling import Baseline
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.tune.dtypes.context import model_fingerprint
from ipexlaunch.tune.profile import Profile, SoloRate
from ipexlaunch.tune.profile_store import find_profile, plan_path, profile_path
from ipexlaunch.tune.run_trial import TrialContext, run_trial_alone
from ipexlaunch.tune.space import Setting

Options = TypeVar("Options", bound=LaunchOptions)

BATCH_SIZE = "{batch_size}"
SECONDS = "{seconds}"
"""What stands among a program's arguments for what the search sets."""


def program_key(program: str, options: JobOptions) -> str:
    """What a profile of a program is filed under, beside the machine.

    Args:
        program: script, module or executable.
        options: of the command.
    """
    if options.module:
        return f"module:{program}"
    if options.no_python:
        return f"executable:{os.path.realpath(shutil.which(program) or program)}"
    return f"script:{os.path.realpath(program)}"


def model_key(model: str, task: str) -> str:
    """The same for a model.

    Args:
        model: directory or random:NAME.
        task: what it does.
    """
    return f"model:{model_fingerprint(model)}:{task}"


def with_profile(context: click.Context, options: Options, key: str) -> tuple[Options, Profile]:
    """The options with what a profile says, but for those that were given on the command line; and the profile.

    Args:
        context: of the command.
        options: of the command.
        key: from `program_key` or `model_key`.

    Raises:
        RequestError: there is no profile for this program on this machine, or it would be written over.
        UsageError: an option goes with none of what the profile says.
        DocumentError: it cannot be read.
    """
    path = profile_path(os.environ, open_topology("live").fingerprint, key)
    profile = find_profile(path, key)
    setting = profile.setting
    wanted: dict[str, Any] = {
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
    said = {
        name: value
        for name, value in wanted.items()
        if name in names_of(type(options)) and value is not None and not is_typed(context, name)
    }
    options = replace(options, **said)
    check_options(context, vars(options))
    check_overlaps(vars(options), [("the profile", path)])
    tell(f"profile of {profile.written}: {setting.words}, {format_number(profile.rate)} items/s then")
    return options, profile


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
    return tuple(word.replace(BATCH_SIZE, str(batch_size)) for word in words)


def measure_solo(
    trial_context: TrialContext, best: Setting, seconds: float, model: bool, former: Profile | None, now: str
) -> SoloRate | None:
    """What the first instance of a setting does alone; None where there is only that one, or it fails.

    Args:
        trial_context: how settings are run.
        best: the setting.
        seconds: of measuring.
        model: whether a model is run, and not a program.
        former: the profile that was there; what it knows of the same setting is not measured again.
        now: as ISO 8601 in UTC.
    """
    launch = trial_context.launch_of(best, seconds)
    if len(launch.workers) == 1:
        return None
    conditions = _conditions(launch.job, ModelJob.from_json(launch.job.arguments[0]) if model else None)
    if (
        former is not None
        and former.solo is not None
        and (former.setting, former.solo.conditions) == (best, conditions)
    ):
        return former.solo
    tell(f"one instance of {best.words} alone, for the scaling efficiency")
    found = run_trial_alone(trial_context, launch, seconds)
    if isinstance(found, str):
        tell(f"no scaling efficiency: {found}")
        return None
    return SoloRate(rate=found.rate, items=found.items, seconds=found.seconds, conditions=conditions, measured=now)


def baseline_of_profile(
    profile: Profile, job: Job, arguments: Sequence[str] = (), model: ModelJob | None = None
) -> Baseline | None:
    """What a profile knows of one instance alone, as far as it was run like this; else None, and the user is told why.

    Args:
        profile: of the run.
        job: what is about to be run.
        arguments: of the program, as they were typed; not looked at for a model.
        model: the model's job.
    """
    solo = profile.solo
    if solo is None:
        return None
    if model is None and not same_arguments(profile, tuple(arguments)):
        tell("no scaling efficiency: the profile knows the rate of one instance alone with other arguments")
        return None
    if solo.conditions != _conditions(job, model):
        tell("no scaling efficiency: the profile knows the rate of one instance alone with other options or variables")
        return None
    return Baseline(index=0, rate=solo.rate, items=solo.items, seconds=solo.seconds, measured=solo.measured)


def same_arguments(profile: Profile, given: tuple[str, ...]) -> bool:
    """Whether a program's arguments are those of the search, however long they say that it should measure.

    Args:
        profile: with the arguments of the search; the search itself may have added its options to what was typed.
        given: as they were typed.
    """
    wanted, given = mask_words(profile.arguments), mask_words(given)
    while not _match(wanted, given):
        added_last = wanted[-1:] == (SECONDS,) or wanted[-2:] == (profile.batch_size_option, BATCH_SIZE)
        if not added_last:
            return False
        wanted = wanted[:-2]
    return True


def _match(wanted: tuple[str, ...], given: tuple[str, ...]) -> bool:
    return len(wanted) == len(given) and all(
        one == other or (SECONDS in one and _stands_for(one, other)) for one, other in zip(wanted, given, strict=True)
    )


def _stands_for(template: str, text: str) -> bool:
    head, _, tail = template.partition(SECONDS)
    return len(text) >= len(head) + len(tail) and text.startswith(head) and text.endswith(tail)


def _conditions(job: Job, model: ModelJob | None) -> str:
    """A digest of all that decides over a rate beside the setting and a program's arguments."""
    if model is not None:  # its identity is the profile's; how long it is measured decides nothing
        model = replace(model.unlimited(), model="", seconds=0.0, warmup_batches=0, check=False, cache="")
    text = json.dumps(
        {
            "kind": job.kind,
            "python": job.python,
            "variables": dict(sorted(job.environment.items())),
            "preloaded": sorted(map(os.path.basename, job.libraries.values())),
            "runner": job.runner[1:],  # the first is the place of ipexlaunch itself
            "model": model.to_json() if model is not None else "",
        },
        sort_keys=True,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]
