"""How a job in shards stands: a row for each shard, totals, the rate of those that are done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ipexlaunch.batch.shards.attempt import Commit, SeenAttempt, ShardState, state_of
from ipexlaunch.batch.shards.sharded_job import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStanding:
    """One shard."""

    index: int
    state: ShardState
    items: int
    done: int
    """Results; of a shard that is not done those of the furthest attempt, as far as they can be seen."""
    dead: int
    """Items that were given up; of a shard that is not done 0."""
    attempts: int
    attempt: int | None = None
    """The one that is committed, else the last."""
    host: str | None = None
    engine_job: str | None = None
    """What the engine calls the task that tries it."""
    since: str | None = None
    """When that attempt began, or was committed; UTC by its host's clock."""
    exit_code: int | None = None
    """Of the last attempt, where it ended without being done."""
    seconds: float | None = None
    """That the committed attempt took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStanding:
    """All shards."""

    shards: tuple[ShardStanding, ...]
    items: int
    done: int
    dead: int
    host_rate: float | None
    """Items per second of a host, over the shards that are done; None before that."""
    hosts_seen: int


def stand(index: int, shard: Shard, attempts: Sequence[SeenAttempt], commit: Commit | None, rows: int) -> ShardStanding:
    """How one shard stands.

    Args:
        index: of the shard.
        shard: its range.
        attempts: at it, in order; none are looked at where one is committed.
        commit: of one of them.
        rows: results that the furthest attempt has.
    """
    if commit is not None:
        return ShardStanding(
            index=index,
            state="done",
            items=shard.items,
            done=commit.rows,
            dead=commit.letters,
            attempts=max(len(attempts), commit.attempt + 1),
            attempt=commit.attempt,
            host=commit.host,
            since=commit.at,
            seconds=commit.seconds,
        )
    last = attempts[-1] if attempts else None
    about = last.about if last is not None else None
    return ShardStanding(
        index=index,
        state=state_of(attempts, None),
        items=shard.items,
        done=rows,
        dead=0,
        attempts=len(attempts),
        attempt=last.number if last is not None else None,
        host=about.host if about is not None else None,
        engine_job=about.engine_job if about is not None else None,
        since=about.since if about is not None else None,
        exit_code=last.ended.exit_code if last is not None and last.ended is not None else None,
    )


def together(shards: Sequence[ShardStanding], commits: Sequence[Commit]) -> JobStanding:
    """How the job stands.

    Args:
        shards: all of them.
        commits: of those that are done.
    """
    worked = sum(commit.rows + commit.letters - commit.taken_over for commit in commits)
    seconds = sum(commit.seconds for commit in commits)
    return JobStanding(
        shards=tuple(shards),
        items=sum(each.items for each in shards),
        done=sum(each.done for each in shards),
        dead=sum(each.dead for each in shards),
        host_rate=worked / seconds if seconds > 0 and worked else None,
        hosts_seen=len({each.host for each in shards if each.host is not None}),
    )
