"""`ipexlaunch shards merge`: the results of all shards in one output, as one batch job would have written it."""

from __future__ import annotations

import os
import shlex

import click

from ipexlaunch.batch.shards.merge_shards import DoneShard, check_shard, left_aside, merge, refuse_doubled_ids
from ipexlaunch.batch.shards.shard_directory import commit_of, files_of, open_job
from ipexlaunch.batch.shards.sharded_job import ShardedJob
from ipexlaunch.cli.batch_output import INVALID
from ipexlaunch.cli.options.help_pages import HelpfulCommand
from ipexlaunch.cli.shards.batch_words import fingerprint_of, job_context, refuse_other
from ipexlaunch.cli.terminal import tell
from ipexlaunch.errors import LaunchError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.wording import counted, grouped

SHOWN = 10
"""So many of the shards that are not done are named."""


@click.command("merge", cls=HelpfulCommand)
@click.argument("directory", metavar="DIR")
def merge_command(directory: str) -> int:
    """Put the results of all shards together, once every one is committed; merging twice changes nothing.

    Exit codes: 0 merged; 4 shards are not done, or items were given up.
    """
    place = os.path.abspath(directory)
    job = open_job(place)
    context = job_context(job, [job.files[0].path], "-")
    shards = _done_shards(job, place, fingerprint_of(job, context), directory)
    if shards is None:
        return INVALID
    for each in left_aside(job.output):
        tell(f"{each} is of a merge that is at work, or was killed: then remove it")
    for done in shards:
        check_shard(done)
    try:
        if context.params["id_field"] is not None or job.output.openai:
            refuse_doubled_ids(shards, place)
        merged = merge(shards, job.output, place)
    except OSError as error:
        hint = "make room and merge again; nothing is lost"
        raise LaunchError(f"write {job.output.path}", str(error.strerror), hint) from None
    if merged.note:
        tell(merged.note)
    how = "are merged already" if merged.was_before else "merged"
    tell(f"{grouped(merged.rows, 'result')} of {grouped(len(shards), 'shard')} {how}: {job.output.path}")
    if merged.letters:
        tell(f"INVALID: {grouped(merged.letters, 'item')} given up, see {job.output.path}.dead.jsonl")
        return INVALID
    return 0


def _done_shards(job: ShardedJob, place: str, mark: str, directory: str) -> list[DoneShard] | None:
    """Every shard with its commit; None where one has none, after the lines that would do them were said."""
    shards: list[DoneShard] = []
    missing: list[int] = []
    for index, shard in enumerate(job.shards):
        commit = commit_of(place, index)
        if commit is None:
            missing.append(index)
            continue
        refuse_other(commit, mark, directory, f"merge shard {index}")
        shards.append(DoneShard(index, shard, commit, files_of(place, index, commit.attempt)))
    if not missing:
        return shards
    tell(f"INVALID: {counted(len(missing), 'shard')} of {len(job.shards)} not done, so nothing is merged; to do them:")
    for index in missing[:SHOWN]:
        tell(f"ipexlaunch shards run {shlex.quote(directory)} --index {index}")
    if len(missing) > SHOWN:
        tell(f"and {len(missing) - SHOWN} more: {format_list(missing)}")
    return None
