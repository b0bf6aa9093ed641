"""The rate of one instance alone that a profile knows: measured at the end of `tune`, compared with by later runs."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from ipexlaunch.cli.terminal import spoken
from ipexlaunch.cli.tune_space import BATCH_SIZE, SECONDS
from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.launch.job import Job
from ipexlaunch.measure.solo_baseline import Baseline
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.tune.profile import Profile, Solo
from ipexlaunch.tune.run_trial import TrialGround, try_alone
from ipexlaunch.tune.space import Setting

if TYPE_CHECKING:
    from collections.abc import Sequence


def measure_solo(
    ground: TrialGround, best: Setting, seconds: float, model: bool, former: Profile | None, now: str
) -> Solo | None:
    """What the first instance of a setting does alone; None where there is only that one, or it fails.

    Args:
        ground: how settings are run.
        best: the setting.
        seconds: of measuring.
        model: whether a model is run, and not a program.
        former: the profile that was there; what it knows of the same setting is not measured again.
        now: as ISO 8601 in UTC.
    """
    launch = ground.launch_of(best, seconds)
    if len(launch.workers) == 1:
        return None
    conditions = _conditions(launch.job, ModelJob.from_json(launch.job.arguments[0]) if model else None)
    if (
        former is not None
        and former.solo is not None
        and (former.setting, former.solo.conditions) == (best, conditions)
    ):
        return former.solo
    _tell(f"one instance of {best.words} alone, for the scaling efficiency")
    found = try_alone(ground, launch, seconds)
    if isinstance(found, str):
        _tell(f"no scaling efficiency: {found}")
        return None
    return Solo(rate=found.rate, items=found.items, seconds=found.seconds, conditions=conditions, measured=now)


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
        _tell("no scaling efficiency: the profile knows the rate of one instance alone with other arguments")
        return None
    if solo.conditions != _conditions(job, model):
        _tell("no scaling efficiency: the profile knows the rate of one instance alone with other options or variables")
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
        model = replace(model, model="", seconds=0.0, warmup_batches=0, check=False, cache="")
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


def _tell(text: str) -> None:
    print(f"ipexlaunch: {spoken(text)}", file=sys.stderr, flush=True)
