"""How a run stands, as one line of JSON (schema ipexlaunch/status/1) and back; what `ipexlaunch top` asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ipexlaunch.documents.typed_text import ascii_escapes
from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.snapshot import Snapshot, WorkerSnapshot
from ipexlaunch.machine.cpulist import format_list, parse_list
from ipexlaunch.report.live.run_identity import RunIdentity
from ipexlaunch.report.live.usage import Usage

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
    return {
        "schema": SCHEMA,
        "pid": identity.pid,
        "program": identity.program,
        "started_at": identity.started_at,
        "local_share_required": identity.local_share_required,
        "elapsed_s": snapshot.elapsed_s,
        "measured_s": snapshot.measured_s,
        "rate": snapshot.rate,
        "failures": list(snapshot.failures),
        "workers": [
            _worker(worker) if usages is None else {**_worker(worker), **_usage(usages.get(worker.index, Usage()))}
            for worker in snapshot.workers
        ],
    }


def _worker(worker: WorkerSnapshot) -> dict[str, Any]:
    return {
        "index": worker.index,
        "pid": worker.pid,
        "phase": worker.phase,
        "cpus": format_list(worker.cpus),
        "nodes": format_list(worker.nodes),
        "memory": worker.memory,
        "items": worker.items,
        "tokens": worker.tokens,
        "rate": worker.rate,
        "local_pages": worker.local_pages,
        "last_line": worker.last_line[:LONGEST_LAST_LINE],
        "exit_code": worker.exit_code,
        "restarts": worker.restarts,
        "stopped": worker.stopped,
        "busy_with": worker.busy_with,
        "busy_s": worker.busy_s,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    memory = None if usage.memory is None else {str(node): size for node, size in sorted(usage.memory.items())}
    return {"busy_cpus": usage.busy_cpus, "cpu_s": usage.cpu_s, "memory_bytes_by_node": memory}


def write_top(runs: Iterable[tuple[RunIdentity, Snapshot, Mapping[int, Usage]]]) -> str:
    """All runs of a host as one JSON document (schema ipexlaunch/top/1), for programs."""
    data = {"schema": "ipexlaunch/top/1", "runs": [status_data(*run) for run in runs]}
    return ascii_escapes(json.dumps(data, indent=1, ensure_ascii=False)) + "\n"


def read_status(text: str, source: str) -> tuple[RunIdentity, Snapshot]:
    """The run that the line describes; keys that this version does not know are passed over.

    Args:
        text: one JSON object.
        source: where it came from, for messages.

    Raises:
        DocumentError: it is no such document; the message names the place.
    """
    from ipexlaunch.documents.text import Document, validate
    from ipexlaunch.report.live.status_schema import StatusModel

    # Not as the documents that people write: it is JSON for certain, and workers' words in it have any brackets.
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DocumentError(source, "", f"it is not JSON: {error}") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        hint = "ask with the ipexlaunch that started the run"
        raise DocumentError(source, "", f"its schema is {schema!r}, not {SCHEMA!r}", hint)
    model = validate(Document(source=source, text=text, data=data, kind="status", version=1), StatusModel)
    workers = tuple(
        WorkerSnapshot(**{**row.model_dump(), "cpus": parse_list(row.cpus), "nodes": parse_list(row.nodes)})
        for row in model.workers
    )
    snapshot = Snapshot(
        elapsed_s=model.elapsed_s,
        measured_s=model.measured_s,
        workers=workers,
        rate=model.rate,
        failures=tuple(model.failures),
    )
    identity = RunIdentity(
        pid=model.pid,
        program=model.program,
        started_at=model.started_at,
        local_share_required=model.local_share_required,
    )
    return identity, snapshot
