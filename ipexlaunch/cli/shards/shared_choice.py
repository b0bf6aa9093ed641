"""Which engine and dtype the shards of a job run: the first of each kind of host measures, the others do the same."""

from __future__ import annotations

import hashlib
import json

from ipexlaunch.batch.shards.shared_choices import keep_choice, kept_choice
from ipexlaunch.cli.batch_command import SharedChoice
from ipexlaunch.cli.terminal import tell
from ipexlaunch.errors import DocumentError
from ipexlaunch.machine.topology import Topology
from ipexlaunch.models.engines.candidate import Candidate


def shared_choice(directory: str, job: str, topology: Topology) -> SharedChoice:
    """What is chosen for hosts with the processor of this one.

    Args:
        directory: of the job.
        job: its fingerprint.
        topology: this host.
    """
    processor = [topology.cpu_model, sorted(topology.isa)]
    kind = hashlib.sha256(json.dumps([job, *processor]).encode()).hexdigest()[:12]

    def before() -> Candidate | None:
        text = kept_choice(directory, kind)
        return _read(text, kind) if text else None

    def keep(found: Candidate) -> Candidate:
        about = {"schema": "ipexlaunch/shard-choice/1", "cpu_model": topology.cpu_model, "candidate": found.fields}
        kept = _read(keep_choice(directory, kind, json.dumps(about) + "\n"), kind)
        if kept != found:
            tell(f"{kept.name}: another shard has chosen it meanwhile for hosts of this kind")
        return kept

    return SharedChoice(before=before, keep=keep)


def _read(text: str, kind: str) -> Candidate:
    try:
        return Candidate(**json.loads(text)["candidate"])
    except (ValueError, TypeError, KeyError):
        raise DocumentError(f"choice-{kind}.json", "", "it names no engine and dtype", "remove it") from None
