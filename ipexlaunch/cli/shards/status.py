"""`ipexlaunch shards status`: how the shards of a job stand, and what to type next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

import click

from ipexlaunch.batch.shards.attempt import Commit, SeenAttempt
from ipexlaunch.batch.shards.shard_directory import attempts_at, commit_of, files_of, open_job, rows_in
from ipexlaunch.batch.shards.sharded_job import ShardedJob
from ipexlaunch.batch.shards.standing import JobStanding, ShardStanding, stand, together
from ipexlaunch.cli.options.help_pages import HelpfulCommand
from ipexlaunch.cli.options.option_types import flag
from ipexlaunch.documents.codec import dump_json, to_plain
from ipexlaunch.documents.visible_text import visible
from ipexlaunch.machine.cpulist import format_list

SCHEMA = "ipexlaunch/shards-status/1"

ROWS_SHOWN = 40
"""Of shards that are done and those nobody has begun; the others are all shown."""


@click.command("status", cls=HelpfulCommand)
@click.argument("directory", metavar="DIR")
@flag("--json", "As a document for programs.")
def status_command(directory: str, *, json: bool) -> int:
    """Show how the shards of the job in DIR stand.

    A shard is "at work" while an attempt has not said that it ended: it works, or its host was lost.
    """
    place = os.path.abspath(directory)
    job = open_job(place)
    standing = _look(place, job)
    if json:
        print(dump_json({"schema": SCHEMA, **to_plain(standing)}), end="")
        return 0
    for line in _table(standing):
        print(visible(line))
    for line in _totals(standing, directory, job):
        print(visible(line))
    return 0


def _look(place: str, job: ShardedJob) -> JobStanding:
    shards: list[ShardStanding] = []
    commits: list[Commit] = []
    for index, shard in enumerate(job.shards):
        commit = commit_of(place, index)
        attempts: list[SeenAttempt] = []
        rows = 0
        if commit is not None:
            commits.append(commit)
        else:
            attempts = list(attempts_at(place, index))
            if furthest := max(attempts, key=lambda each: each.size, default=None):
                rows = rows_in(files_of(place, index, furthest.number).rows)
        shards.append(stand(index, shard, attempts, commit, rows))
    return together(shards, commits)


def _table(standing: JobStanding) -> Iterator[str]:
    """A row for each shard; of many that are done, or open, the first."""
    rows = [("shard", "state", "items", "results", "dead", "attempt", "host", "since")]
    shown = {"done": 0, "open": 0}
    for each in standing.shards:
        shown[each.state] = shown.get(each.state, 0) + 1
        if each.state in ("done", "open") and shown[each.state] > ROWS_SHOWN:
            continue
        state = each.state if each.exit_code is None else f"{each.state} ({each.exit_code})"
        attempt = "" if each.attempt is None else str(each.attempt)
        numbers = (f"{each.items:,}", f"{each.done:,}", str(each.dead))
        rows.append(
            (
                str(each.index),
                state,
                *numbers,
                attempt,
                ", ".join(filter(None, (each.host, each.engine_job))),
                each.since or "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {0, 2, 3, 4, 5}
    for row in rows:
        cells = (
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()
    if left := sum(max(0, count - ROWS_SHOWN) for name, count in shown.items() if name in ("done", "open")):
        yield f"... and {left} more that are done or open"


def _totals(standing: JobStanding, directory: str, job: ShardedJob) -> Iterator[str]:
    """What all have together, and what to type next."""
    by_state: dict[str, list[int]] = {}
    for each in standing.shards:
        by_state.setdefault(each.state, []).append(each.index)
    counts = ", ".join(f"{len(found)} {state}" for state, found in sorted(by_state.items()))
    share = (standing.done + standing.dead) / standing.items if standing.items else 1.0
    yield ""
    of = f"of {standing.items:,} items ({share:.1%})"
    yield f"{counts}; {standing.done:,} results and {standing.dead:,} dead letters {of}"
    if standing.host_rate is not None:
        rate = f"{standing.host_rate:,.1f} items/s of a host over the shards that are done, loading included"
        yield f"{rate}; {standing.hosts_seen} host{'s' * (standing.hosts_seen != 1)} seen"
    place = shlex.quote(directory)
    if left := [each for state in ("open", "ended", "lost") for each in by_state.get(state, [])]:
        more = f" (and {format_list(sorted(left))} in all)" if len(left) > 1 else ""
        yield f"next: ipexlaunch shards run {place} --index {min(left)}{more}"
    elif by_state.get("at work"):
        yield "next: wait; of a host that was lost the engine runs the shard again, or you: " + (
            f"ipexlaunch shards run {place} --index {by_state['at work'][0]}"
        )
    elif os.path.lexists(job.output.path):
        yield f"{job.output.path} is there"
    else:
        yield f"next: ipexlaunch shards merge {place}"
