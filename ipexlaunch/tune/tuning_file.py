"""Outcome of a search to and from JSON (schema ipexlaunch/tuning/1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipexlaunch.tune.outcome import Outcome
from ipexlaunch.tune.space import Setting
from ipexlaunch.tune.trial import from_row, usable

if TYPE_CHECKING:
    from pydantic import BaseModel

KIND = "tuning"
VERSIONS = (1,)
SCHEMA = f"ipexlaunch/{KIND}/{VERSIONS[-1]}"


def write_tuning(outcome: Outcome) -> str:
    """The outcome as JSON text; `read_tuning` gives the same value back."""
    from ipexlaunch.documents.text import dump_json

    return dump_json(
        {
            "schema": SCHEMA,
            "best": outcome.best.as_row() if outcome.best else None,
            "rate": outcome.rate,
            "why": outcome.why,
            "settings": outcome.settings,
            "runs": [run.as_row() for run in outcome.runs],
            "left_out": list(outcome.left_out),
        }
    )


def read_tuning(text: str, source: str) -> Outcome:
    """The outcome that the text holds.

    Args:
        text: JSON or YAML.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the line and the place.
    """
    from ipexlaunch.documents.text import parse_document, problem_at, validate

    document = parse_document(text, source, {KIND: VERSIONS})
    model: Any = validate(document, _model())
    data = model.model_dump()
    del data["rate"]  # follows from the runs
    best = None if data["best"] is None else Setting(**data["best"])
    runs = tuple(from_row(row) for row in data["runs"])
    if best is not None and not any(run.setting == best for run in runs):
        raise problem_at(document, ("best",), "no run has this setting", "")
    if best is not None and best not in usable(runs):
        raise problem_at(document, ("best",), "a run of this setting does not count", "")
    return Outcome(**{**data, "best": best, "runs": runs, "left_out": tuple(data["left_out"])})


def _model() -> type[BaseModel]:
    from ipexlaunch.tune.tuning_schema import TuningModel

    return TuningModel
