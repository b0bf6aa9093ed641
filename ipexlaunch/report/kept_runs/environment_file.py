"""environment.json of a run directory (schema ipexlaunch/environment/1): what it must hold to be looked at again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from ipexlaunch.documents.text import parse_document, validate


class _Python(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    packages: dict[str, str | None]


class EnvironmentModel(BaseModel):
    """The keys that somebody reads; the others are for people."""

    model_config = ConfigDict(extra="allow", strict=True)

    kernel: str | None = None
    variables: dict[str, str] = {}
    python: _Python | None = None
    workers: list[dict[str, Any]] = []
    cpu_model: str | None = None
    governors: dict[str, int] = {}


def read_environment_text(text: str, source: str) -> Mapping[str, Any]:
    """What the environment of a kept run was.

    Args:
        text: JSON.
        source: the file's name, for messages.

    Raises:
        DocumentError: it does not follow the format; the message has the place.
    """
    document = parse_document(text, source, {"environment": [1]})
    validate(document, EnvironmentModel)
    return document.data
