"""What the driver under Ray is told: which shards, on how many hosts, how often each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ipexlaunch.hosts.submit.pending_shards import PendingShards, count_of, refuse_unknown

KNOWN = {
    "address": "HOST:PORT of the cluster [default: RAY_ADDRESS, or the one that this host is in]",
    "hosts": "that work at a time [default: all]",
    "cpus": "that Ray counts for a shard [default: all of the smallest host]",
    "tries": "how often a shard is tried again [default: 20]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """What the driver is to do."""

    directory: str
    indices: list[int]
    words: list[str]
    """Try a shard; the index comes behind them."""
    merge: list[str]
    address: str
    hosts: int
    """How many work at a time at most; 0 for all."""
    cpus: int
    """That Ray counts for a shard; 0 for all of the smallest host's."""
    tries: int
    """How often a shard is tried again."""


def directive_for(pending: PendingShards, options: Mapping[str, str]) -> Directive:
    """The directive.

    Args:
        pending: shards.
        options: see KNOWN.

    Raises:
        UsageError: an option is unknown or malformed.
    """
    refuse_unknown(options, KNOWN, "ray")
    return Directive(
        directory=pending.directory,
        indices=list(pending.indices),
        words=list(pending.try_one("--no-progress")),
        merge=list(pending.merge),
        address=options.get("address", ""),
        hosts=count_of(options, "hosts", 0),
        cpus=count_of(options, "cpus", 0),
        tries=count_of(options, "tries", 20),
    )


def write_directive(directive: Directive) -> str:
    """The JSON that `read_directive` reads."""
    return json.dumps(asdict(directive))


def read_directive(text: str) -> Directive:
    """The directive of a JSON object that we wrote."""
    return Directive(**json.loads(text))
