"""Reading a plan file from disk, for `run --plan` and `plan --check`."""

from __future__ import annotations

from pathlib import Path

from ipexlaunch.documents.plan_document import read_checked_plan
from ipexlaunch.errors import DocumentError
from ipexlaunch.plan import Plan
from ipexlaunch.topology import Topology


def read_plan_file(path: str, topology: Topology, any_machine: bool = False) -> Plan:
    """The plan in a file, if it fits the machine and keeps the promises.

    Args:
        path: the file, YAML or JSON.
        topology: the machine that it is to run on.
        any_machine: accept a plan that was made for another machine, as long as everything it names is here.

    Raises:
        DocumentError: it cannot be read, or breaks a rule; with the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        raise DocumentError(
            path, "", reason[0].lower() + reason[1:], "write one with: ipexlaunch plan --format yaml"
        ) from None
    return read_checked_plan(text, path, topology, any_machine)
