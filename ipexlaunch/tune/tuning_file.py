"""Outcome of a search to and from JSON (schema ipexlaunch/tuning/1)."""

from __future__ import annotations

from dataclasses import replace

from ipexlaunch.documents.codec import dump_json, read_value, to_plain
from ipexlaunch.documents.text import parse_document, problem_at
from ipexlaunch.tune.outcome import Outcome
from ipexlaunch.tune.trial import usable

KIND = "tuning"
VERSIONS = (1,)
SCHEMA = f"ipexlaunch/{KIND}/{VERSIONS[-1]}"


def write_tuning(outcome: Outcome) -> str:
    """The outcome as JSON text; `read_tuning` gives the same value back."""
    data = to_plain(outcome)
    return dump_json({"schema": SCHEMA, "best": data.pop("best"), "rate": outcome.rate, **data})


def read_tuning(text: str, source: str) -> Outcome:
    """The outcome that the text holds.

    Args:
        text: JSON or YAML.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the line and the place.
    """
    document = parse_document(text, source, {KIND: VERSIONS})
    told = {key: value for key, value in document.data.items() if key != "rate"}  # it follows from the runs
    outcome = read_value(replace(document, data=told), Outcome, complete=True)
    if outcome.best is not None and not any(run.setting == outcome.best for run in outcome.runs):
        raise problem_at(document, ("best",), "no run has this setting", "")
    if outcome.best is not None and outcome.best not in usable(outcome.runs):
        raise problem_at(document, ("best",), "a run of this setting does not count", "")
    return outcome
