"""A job in shards as an Indexed Job of Kubernetes: a pod for each shard, tried again where that makes sense.

No cluster has run it (see plan.export_kubernetes, which has the sources).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ipexlaunch.errors import RequestError, UsageError
from ipexlaunch.hosts.submit.pending_shards import PendingShards, count_of, refuse_line_breaks, refuse_unknown
from ipexlaunch.plan.export_kubernetes import comment, failure_policy, job_manifest, pod_spec
from ipexlaunch.plan.notation import parse_bytes

KNOWN = {
    "image": "with ipexlaunch and what the program needs; there is no default",
    "claim": "CLAIM:/PATH, a PersistentVolumeClaim that holds DIR, the input and the program",
    "host-path": "/PATH, a shared file system that every host has mounted there",
    "cpus": "of a pod [default: those of the job's plan on this host]",
    "memory": "of a pod, e.g. 64GiB [default: that of the job's --memory-per-instance]",
    "at-once": "pods that run at a time [default: 1 for each shard]",
    "tries": "failures that are given to each shard [default: 3]",
    "name": "of the Job [default: ipexlaunch-DIR]",
    "namespace": "of the Job [default: kubectl's own]",
}

NOTE = """\
No cluster has run this: it was checked against the schemas of Kubernetes alone (1.31 and later).
The static cpu manager gives each pod {cpus} cpus of its own: whole cores where all siblings of each are counted.
Exit code 75 (drained, try again) and evictions cost no try; 2 (it can never work) fails the shard at once.
When all are done, in a pod that sees the same files: {merge}
"""


@dataclass(frozen=True, slots=True)
class PodSize:
    """What a pod asks for."""

    cpus: int
    memory_bytes: int | None
    """None where nobody has said it."""


def shards_manifest(pending: PendingShards, options: Mapping[str, str], planned: PodSize | None) -> str:
    """The Job as YAML.

    Every shard is one of its indices: those that are done already end at once.

    Args:
        pending: shards.
        options: see KNOWN.
        planned: what a pod needs by the job's plan; None where the options say all of it.

    Raises:
        UsageError: an option is unknown, malformed or missing.
        RequestError: no volume has the job's directory, or nobody has said how much memory a pod has.
    """
    refuse_unknown(options, KNOWN, "kubernetes")
    refuse_line_breaks(pending, "kubernetes")
    image = options.get("image")
    if image is None:
        raise UsageError(f"give --engine-option image=IMAGE, {KNOWN['image']}")
    volume, mount = _volume(pending, options)
    size = planned or PodSize(1, None)
    cpus = count_of(options, "cpus", size.cpus)
    text = options.get("memory")
    memory = size.memory_bytes if text is None else parse_bytes(text, "--engine-option memory")
    if memory is None:
        raise RequestError(
            "submit to kubernetes",
            "the static cpu manager gives cpus to pods that ask for memory too, and none is named",
            "add --engine-option memory=64GiB",
        )
    inside = PendingShards(directory=pending.directory, indices=pending.indices, of=pending.of)
    pod = pod_spec(image, inside.try_one("--no-progress", "--drain-on-term"), {"cpu": str(cpus), "memory": str(memory)})
    pod["containers"][0]["volumeMounts"] = [mount]
    pod["volumes"] = [volume]
    spec = {
        "completionMode": "Indexed",
        "completions": pending.of,
        "parallelism": count_of(options, "at-once", len(pending.indices)),
        "backoffLimitPerIndex": count_of(options, "tries", 3),
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": failure_policy("FailIndex"),
        "template": {"spec": pod},
    }
    note = comment(NOTE.format(cpus=cpus, merge=" ".join(inside.merge)).rstrip())
    return note + job_manifest(_name(pending, options), spec, options.get("namespace", ""))


def _volume(pending: PendingShards, options: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The volume that holds the job's directory, and where it is mounted."""
    claim, place = options.get("claim"), options.get("host-path")
    if (claim is None) == (place is None):
        given = "both claim and host-path are given" if claim else "no pod sees DIR by itself"
        which = "--engine-option claim=CLAIM:/PATH or --engine-option host-path=/PATH"
        raise RequestError("submit to kubernetes", given, f"give {which}")
    if claim is not None:
        name, _, path = claim.partition(":")
        source: dict[str, Any] = {"persistentVolumeClaim": {"claimName": name}}
    else:
        name, path = "shared", str(place)
        source = {"hostPath": {"path": path, "type": "Directory"}}
    if not name or not path.startswith("/"):
        raise UsageError(f"--engine-option claim={claim or place} is no CLAIM:/PATH, such as data:/srv/data")
    path = posixpath.normpath(path)
    if posixpath.commonpath([path, pending.directory]) != path:
        raise RequestError(
            "submit to kubernetes",
            f"{path} is mounted, and {pending.directory} is not below it",
            "mount what holds DIR, under the path that DIR has here",
        )
    return {"name": "files", **source}, {"name": "files", "mountPath": path}


def _name(pending: PendingShards, options: Mapping[str, str]) -> str:
    given = options.get("name")
    if given is None:
        base = re.sub("[^a-z0-9]+", "-", posixpath.basename(pending.directory).lower()).strip("-")
        return f"ipexlaunch-{base}"[:52].rstrip("-")
    if re.fullmatch("[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?", given) is None:
        raise UsageError(
            f"--engine-option name={given} is no name; write at most 52 lower-case letters, digits and hyphens"
        )
    return given
