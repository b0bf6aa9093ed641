"""Profile to and from JSON (schema ipexlaunch/profile/1)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ipexlaunch.tune.profile import Profile, Solo
from ipexlaunch.tune.space import Setting

if TYPE_CHECKING:
    from pydantic import BaseModel

KIND = "profile"
VERSIONS = (1,)
SCHEMA = f"ipexlaunch/{KIND}/{VERSIONS[-1]}"


def write_profile(profile: Profile) -> str:
    """The profile as JSON text; `read_profile` gives the same value back."""
    from ipexlaunch.documents.text import dump_json

    data: dict[str, Any] = {"schema": SCHEMA, **asdict(profile)}
    return dump_json({**data, "arguments": list(profile.arguments)})


def read_profile(text: str, source: str) -> Profile:
    """The profile that the text holds.

    Args:
        text: JSON or YAML.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the line and the place.
    """
    from ipexlaunch.documents.text import parse_document, validate

    model: Any = validate(parse_document(text, source, {KIND: VERSIONS}), _model())
    data = model.model_dump()
    data["arguments"], data["setting"] = tuple(data["arguments"]), Setting(**data["setting"])
    if data["solo"] is not None:
        data["solo"] = Solo(**data["solo"])
    return Profile(**data)


def _model() -> type[BaseModel]:
    from ipexlaunch.tune.profile_schema import ProfileModel

    return ProfileModel
