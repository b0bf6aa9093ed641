"""A job in shards to YAML (schema ipexlaunch/shards/1) and back; what tells one job's results from another's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from ipexlaunch.batch.shards.sharded_job import ShardedJob, gaps_of
from ipexlaunch.documents.codec import read_value, to_plain
from ipexlaunch.documents.secret_values import mask_text, mask_words
from ipexlaunch.documents.text import dump_yaml, parse_document, problem_at

JOB = "job.yaml"
"""Name of the file in a job's directory."""

SCHEMA = "ipexlaunch/shards/1"


def write_job(job: ShardedJob) -> str:
    """The job as YAML, one shard a line, without secrets; `read_job` gives it back."""
    data = to_plain(job)
    data["options"] = list(mask_words(job.options))
    data["arguments"] = list(mask_words(job.arguments))
    data["program"] = None if job.program is None else mask_text(job.program)
    shards = data.pop("shards")
    lines = [f"- {{{', '.join(f'{key}: {value}' for key, value in row.items())}}}" for row in shards]
    return "\n".join([dump_yaml({"schema": SCHEMA, **data}) + "shards:", *lines, ""])


def read_job(text: str, source: str) -> ShardedJob:
    """The job that the text holds, whose ranges follow each other without a gap.

    Args:
        text: YAML or JSON.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the line and the place.
    """
    document = parse_document(text, source, {"shards": [1]})
    job = read_value(document, ShardedJob)
    for index, key, problem in gaps_of(job.files, job.shards):
        place = ("shards",) if index < 0 else ("shards", index)
        raise problem_at(
            document, place, f"{key}: {problem}", "put back what `shards make` wrote, or make the job again"
        )
    return job


def fingerprint(job: ShardedJob, settled: Sequence[str]) -> str:
    """What results depend on, as a short text: attempts at a job with another one have nothing to do with it.

    Everything is named here, so that what a later version adds changes no fingerprint of a job that is under way.

    Args:
        job: any.
        settled: the options that were given on which results depend, with their values.
    """
    files = [[file.name, file.format, file.bytes, file.sha256_of_ends, file.header_bytes] for file in job.files]
    shards = [
        [shard.file, shard.begin, shard.end, shard.first_line, shard.first_item, shard.items] for shard in job.shards
    ]
    program = [job.program and mask_text(job.program), list(mask_words(job.arguments)), job.program_sha256]
    text = json.dumps([files, shards, program, job.several, list(settled)])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
