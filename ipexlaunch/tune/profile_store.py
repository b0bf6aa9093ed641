"""Keeps profiles in the user's configuration and knows where a search keeps its study: the owner of those places."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from ipexlaunch.documents.read_text import read_text
from ipexlaunch.documents.write_file import write_file
from ipexlaunch.errors import IpexLaunchError, LaunchError, RequestError
from ipexlaunch.models.user_directory import user_directory, why_untrusted
from ipexlaunch.plan import Plan
from ipexlaunch.plan.plan_file import write_plan
from ipexlaunch.tune.profile import Profile, read_profile, write_profile


def profile_path(environment: Mapping[str, str], topology: str, program: str) -> str:
    """$XDG_CONFIG_HOME/ipexlaunch/profiles/TOPOLOGY-PROGRAM.json, or below ~/.config.

    Args:
        environment: the process's variables.
        topology: the machine's fingerprint.
        program: as in `Profile.program`.
    """
    name = f"{topology}-{hashlib.sha256(program.encode()).hexdigest()[:16]}.json"
    return os.path.join(user_directory(environment, "XDG_CONFIG_HOME", ".config"), "ipexlaunch", "profiles", name)


def plan_path(profile: str) -> str:
    """The plan file that stands beside a profile.

    Args:
        profile: path of the profile.
    """
    return profile.removesuffix(".json") + ".plan.yaml"


def study_path(environment: Mapping[str, str], key: str) -> str:
    """$XDG_STATE_HOME/ipexlaunch/studies/KEY.journal, or below ~/.local/state.

    Args:
        environment: the process's variables.
        key: everything that decides over what a run gives.
    """
    name = f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.journal"
    return os.path.join(user_directory(environment, "XDG_STATE_HOME", ".local/state"), "ipexlaunch", "studies", name)


def keep_profile(path: str, profile: Profile, plan: Plan) -> None:
    """Write a profile and its plan; a reader finds the old files or the new ones, whole.

    Args:
        path: from `profile_path`.
        profile: what was found.
        plan: of its setting.

    Raises:
        LaunchError: they cannot be written.
    """
    for name, text in ((plan_path(path), write_plan(plan)), (path, write_profile(profile))):
        write_whole(name, text, "set XDG_CONFIG_HOME to a directory that can be written")


def write_whole(path: str, text: str, hint: str) -> None:
    """Write a file whole or not at all.

    Args:
        path: where; its directory is made.
        text: what.
        hint: what would work where it cannot be written.

    Raises:
        LaunchError: it cannot be written.
    """
    try:
        write_file(path, text)
    except OSError as error:
        raise LaunchError(f"write {path}", str(error.strerror), hint) from None


def former_profile(path: str) -> Profile | None:
    """What a profile says that is about to be replaced; None where there is none, or none that can be read.

    Args:
        path: from `profile_path`.
    """
    try:
        return find_profile(path, "")
    except IpexLaunchError:
        return None


def find_profile(path: str, program: str) -> Profile:
    """The profile of a program on this machine.

    Args:
        path: from `profile_path`.
        program: for the message.

    Raises:
        RequestError: there is none.
        DocumentError: it cannot be read.
    """
    if not os.path.lexists(path):
        kind, _, name = program.partition(":")
        name = "this model" if kind == "model" else name
        raise RequestError(
            f"use the profile of {name}", f"there is none for this machine ({path})", "make one: ipexlaunch tune ..."
        )
    if problem := why_untrusted(path, code=False) or why_untrusted(os.path.dirname(path), code=False):
        raise RequestError(f"use the profile in {path}", problem, "make it your own, or tune again")
    return read_profile(read_text(path), path)
