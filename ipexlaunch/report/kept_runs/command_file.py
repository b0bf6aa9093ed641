"""RecordedRun to YAML (run.yaml of a run directory, schema ipexlaunch/run-directory/1) and back."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from ipexlaunch.launch.job import Job
from ipexlaunch.report.kept_runs.command import RecordedRun

SCHEMA = "ipexlaunch/run-directory/1"


NOT_KEPT = ("module_path", "path_first", "remarks")
"""Fields of a job that are found out anew when it is repeated."""


def write_recorded_run(recorded: RecordedRun) -> str:
    """The command as YAML; `read_recorded_run` gives the same value back."""
    from ipexlaunch.documents.text import dump_yaml

    return dump_yaml(
        {
            "schema": SCHEMA,
            "command": recorded.command,
            "directory": recorded.directory,
            "job": _job_row(recorded.job),
            "options": dict(recorded.options),
            "written": recorded.written,
            "ipexlaunch": recorded.ipexlaunch,
        }
    )


def _job_row(job: Job) -> dict[str, Any]:
    """What the job says beyond the defaults."""
    row: dict[str, Any] = {}
    for entry in fields(Job):
        value = getattr(job, entry.name)
        if entry.name in NOT_KEPT or (entry.default is not MISSING and value == entry.default) or value == {}:
            continue
        row[entry.name] = list(value) if isinstance(value, tuple) else value
    return row


def read_recorded_run(text: str, source: str) -> RecordedRun:
    """The command that the text holds.

    Args:
        text: YAML (or JSON).
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the line and the place.
    """
    from ipexlaunch.documents.text import parse_document, validate
    from ipexlaunch.report.kept_runs.command_schema import RecordedRunModel

    model = validate(parse_document(text, source, {"run-directory": [1]}), RecordedRunModel)
    given = model.model_dump()
    row: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.pop("job").items()
    }
    return RecordedRun(job=Job(**row), **given)
