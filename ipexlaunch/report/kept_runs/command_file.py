"""RecordedRun to YAML (run.yaml of a run directory, schema ipexlaunch/run-directory/1) and back."""

from __future__ import annotations

from ipexlaunch.documents.codec import read_value, to_plain
from ipexlaunch.documents.text import dump_yaml, parse_document
from ipexlaunch.report.kept_runs.command import RecordedRun

SCHEMA = "ipexlaunch/run-directory/1"

NOT_KEPT = ("path_first", "remarks")
"""Fields of a job that are found out anew when it is repeated, beside its module_path; former versions kept them."""


def write_recorded_run(recorded: RecordedRun) -> str:
    """The command as YAML; `read_recorded_run` gives the same value back."""
    job = to_plain(recorded.job, sparse=True)
    kept = {name: value for name, value in job.items() if name not in NOT_KEPT}
    return dump_yaml({"schema": SCHEMA, **to_plain(recorded), "job": kept})


def read_recorded_run(text: str, source: str) -> RecordedRun:
    """The command that the text holds.

    Args:
        text: YAML (or JSON).
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the line and the place.
    """
    return read_value(parse_document(text, source, {"run-directory": [1]}), RecordedRun)
