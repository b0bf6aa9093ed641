"""A profile: the setting that was found best for one program on one machine (schema ipexlaunch/profile/1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ipexlaunch.documents.codec import dump_json, read_value, to_plain
from ipexlaunch.documents.fields import LATER
from ipexlaunch.documents.text import parse_document
from ipexlaunch.tune.space import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class SoloRate:
    """What the first instance of a setting did while the cores of the others were idle."""

    rate: float
    """Items per second."""
    items: int
    seconds: float
    conditions: str
    """A digest of what it was run with beside the setting and the program's arguments."""
    measured: str
    """When, as ISO 8601 in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What was found, and for what."""

    topology: str
    """Fingerprint of the machine."""
    program: str
    """What was run: "script:PATH", "module:NAME", "executable:PATH" or "model:IDENTITY:TASK"."""
    arguments: tuple[str, ...] = ()
    """Of the program, as they were typed."""
    batch_size_option: str = ""
    """The program's option for its batch size; "" where a template stands for it, or it has none."""
    setting: Setting
    engine: str = ""
    """Of the setting's numbers; "" for programs."""
    dtype: str = ""
    quantization: str = ""
    """How integers are used; "" for floating-point numbers."""
    rate: float
    """Items per second that were measured."""
    runs: int
    """That the search made."""
    written: str
    """When, as ISO 8601 in UTC."""
    solo: SoloRate | None = field(default=None, metadata=LATER)
    """One instance alone; None for a single one, or where that failed."""


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
