"""Report to JSON (schema ipexlaunch/report/1) and back."""

from __future__ import annotations

from ipexlaunch.documents.codec import dump_json, read_value, to_plain
from ipexlaunch.documents.text import parse_document
from ipexlaunch.measure.report import Report

SCHEMA = "ipexlaunch/report/1"


def write_report(report: Report) -> str:
    """The report as JSON text; `read_report` gives the same value back."""
    return dump_json({"schema": SCHEMA, **to_plain(report)})


def read_report(text: str, source: str) -> Report:
    """The report that the text holds.

    Args:
        text: JSON (or YAML).
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the place.
    """
    return read_value(parse_document(text, source, {"report": [1]}), Report, complete=True)
