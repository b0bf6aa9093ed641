"""How a run stands and which it is, as a line of JSON (schema ipexlaunch/status/1): what `ipexlaunch top` asks for."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ipexlaunch.documents.codec import dump_json, read_value, to_plain
from ipexlaunch.documents.fields import OMITTED, in_documents
from ipexlaunch.documents.text import Document
from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.placement.verify import LOCAL_SHARE_REQUIRED
from ipexlaunch.launch.run_record import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Which run it is, among all that run on this host."""

    pid: int
    """Of the launcher."""
    program: str
    """What the workers run, as it was typed."""
    started_at: float
    """Seconds since 1970."""
    local_share_required: float = LOCAL_SHARE_REQUIRED
    """Share of a worker's anonymous memory that must be on its nodes for a VALID run, 0 to 1."""
    run_dir: str = field(default="", metadata=OMITTED)
    """Where everything about it is kept; "" where nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A worker and the processes below it, as somebody who looks on sees them."""

    busy_cpus: float | None = None
    """How many cpus it kept busy since the previous look, e.g. 13.9; None at the first."""
    cpu_s: float = 0.0
    """User and system time so far, with that of ended processes that were waited for; it never falls."""
    memory: Mapping[int, int] | None = field(default=None, metadata=in_documents(key="memory_bytes_by_node"))
    """Anonymous memory in bytes by node; None where the kernel does not tell."""
    proportional: int | None = field(default=None, metadata=in_documents(key="proportional_memory_bytes"))
    """All its memory, every page divided by the number of processes that have it (PSS), so that it can be summed."""

    def local_share(self, nodes: Collection[int]) -> float | None:
        """Share of the anonymous memory that is on these nodes, 0 to 1; None where it is unknown."""
        total = sum((self.memory or {}).values())
        if self.memory is None or not total or not nodes:
            return None
        return sum(self.memory.get(node, 0) for node in nodes) / total


SCHEMA = "ipexlaunch/status/1"
LONGEST_LAST_LINE = 400
"""Characters of a last line that travel; nobody's terminal shows more."""


def write_status(identity: RunIdentity, snapshot: Snapshot) -> str:
    """The run as one line of JSON, with its end; `read_status` gives the same values back."""
    return json.dumps(status_data(identity, snapshot), separators=(",", ":")) + "\n"


def status_data(identity: RunIdentity, snapshot: Snapshot, usages: Mapping[int, Usage] | None = None) -> dict[str, Any]:
    """The run as plain data.

    Args:
        identity: which run it is.
        snapshot: how it stands.
        usages: worker index to what it uses; None leaves those keys out.
    """
    shown = replace(
        snapshot,
        workers=tuple(replace(worker, last_line=worker.last_line[:LONGEST_LAST_LINE]) for worker in snapshot.workers),
    )
    data = {"schema": SCHEMA, **to_plain(identity), **to_plain(shown)}
    if usages is not None:
        for row in data["workers"]:
            row |= to_plain(usages.get(row["index"], Usage()))
    return data


def write_top(runs: Iterable[tuple[RunIdentity, Snapshot, Mapping[int, Usage]]]) -> str:
    """All runs of a host as one JSON document (schema ipexlaunch/top/1), for programs."""
    data = {"schema": "ipexlaunch/top/1", "runs": [status_data(*run) for run in runs]}
    return dump_json(data)


OURS = "ask with the ipexlaunch that started the run"
"""What would work where the answer is none of this version."""


def read_status(text: str, source: str) -> tuple[RunIdentity, Snapshot]:
    """The run that the line describes; keys that this version does not know are passed over.

    Args:
        text: one JSON object.
        source: where it came from, for messages.

    Raises:
        DocumentError: it is no such document; the message names the place.
    """
    # Not as the documents that people write: it is JSON for certain, and workers' words in it have any brackets.
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DocumentError(source, "", f"it is not JSON: {error}", OURS) from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise DocumentError(source, "", f"its schema is {schema!r}, not {SCHEMA!r}", OURS)
    document = Document(source=source, text=text, data=data, kind="status", version=1)
    return read_value(document, RunIdentity, unknown="ignore"), read_value(document, Snapshot, unknown="ignore")
