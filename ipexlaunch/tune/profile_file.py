"""Profile to and from JSON (schema ipexlaunch/profile/1)."""

from __future__ import annotations

from ipexlaunch.documents.codec import dump_json, read_value, to_plain
from ipexlaunch.documents.text import parse_document
from ipexlaunch.tune.profile import Profile

KIND = "profile"
VERSIONS = (1,)
SCHEMA = f"ipexlaunch/{KIND}/{VERSIONS[-1]}"


def write_profile(profile: Profile) -> str:
    """The profile as JSON text; `read_profile` gives the same value back."""
    return dump_json({"schema": SCHEMA, **to_plain(profile)})


def read_profile(text: str, source: str) -> Profile:
    """The profile that the text holds.

    Args:
        text: JSON or YAML.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the line and the place.
    """
    return read_value(parse_document(text, source, {KIND: VERSIONS}), Profile, complete=True)
