"""environment.json of a run directory (schema ipexlaunch/environment/1): what it must hold to be looked at again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ipexlaunch.documents.codec import read_value
from ipexlaunch.documents.text import parse_document


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPython:
    """What the workers' interpreter is."""

    packages: Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEnvironment:
    """The keys that somebody reads; the others are for people."""

    variables: Mapping[str, str] = field(default_factory=dict)
    python: SeenPython | None = None
    workers: tuple[Mapping[str, Any], ...] = ()
    cpu_model: str | None = None
    governors: Mapping[str, int] = field(default_factory=dict)


def read_environment_text(text: str, source: str) -> Mapping[str, Any]:
    """What the environment of a kept run was.

    Args:
        text: JSON.
        source: the file's name, for messages.

    Raises:
        DocumentError: it does not follow the format; the message has the place.
    """
    document = parse_document(text, source, {"environment": [1]})
    read_value(document, SeenEnvironment, unknown="ignore")
    return document.data
