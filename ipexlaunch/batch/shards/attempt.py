"""Attempts at a shard: who tries, how it ended, which one counts; and how a shard stands by what is found of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from ipexlaunch.documents.codec import dump_json, read_value, to_plain
from ipexlaunch.documents.fields import NonNegativeInt, Seconds
from ipexlaunch.documents.text import parse_document


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a shard, as it says of itself when it begins."""

    number: NonNegativeInt
    """From 0; no two attempts at a shard have the same."""
    token: str
    """Of this attempt alone."""
    job: str
    """The fingerprint of the job."""
    host: str
    pid: NonNegativeInt
    boot: str
    """The boot id of its kernel, by which somebody on the same host can tell whether it may live."""
    since: str
    """UTC, by its host's clock."""
    engine_job: str | None = None
    """What the engine that started it calls it, such as "Slurm job 17_3"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt ended that could still say so."""

    exit_code: NonNegativeInt


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What `done-K` says: which attempt's results are the shard's."""

    attempt: NonNegativeInt
    token: str
    job: str
    """The fingerprint of the job."""
    host: str
    rows: NonNegativeInt
    row_bytes: NonNegativeInt
    letters: NonNegativeInt
    letter_bytes: NonNegativeInt
    taken_over: NonNegativeInt
    """Of the rows and letters, those that an earlier attempt had."""
    seconds: Seconds
    """From the beginning of the attempt to its commit, by its host's clock."""
    at: str = ""
    """UTC, by its host's clock."""


Note = TypeVar("Note", Attempt, Ended, Commit)

_NAMES: dict[type, str] = {Attempt: "attempt", Ended: "attempt-ended", Commit: "shard-done"}


def write_note(note: Note) -> str:
    """The JSON of one of them, on several lines; `read_note` gives it back."""
    return dump_json({"schema": f"ipexlaunch/{_NAMES[type(note)]}/1", **to_plain(note)})


def read_note(kind: type[Note], text: str, source: str) -> Note:
    """What an attempt says of itself, how it ended, or which one's results are the shard's.

    Args:
        kind: which of them.
        text: JSON.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is no such document.
    """
    return read_value(parse_document(text, source, {_NAMES[kind]: [1]}), kind, unknown="ignore")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAttempt:
    """What is found of an attempt."""

    number: int
    size: int
    """Bytes of its rows and letters."""
    about: Attempt | None = None
    """None where it has not said it, or nobody can read it."""
    ended: Ended | None = None
    """None where it is at work, or was lost."""
    is_lost: bool = False
    """Whether it certainly is: it was of this host, which has no such process."""


def by_progress(attempts: Sequence[SeenAttempt], job: str) -> list[SeenAttempt]:
    """The attempts at this job that have something, the furthest first.

    Args:
        attempts: of a shard.
        job: fingerprint of the job; results of another are none of it.
    """
    ours = [each for each in attempts if each.about is not None and each.about.job == job and each.size]
    return sorted(ours, key=lambda each: (-each.size, each.number))


ShardState = Literal["open", "at work", "lost", "ended", "done"]
"""open: nobody has begun. at work: an attempt has not said that it ended: it lives, or its host was lost. lost: of this
host there is no such process. ended: it has said so, and something is left. done: one is committed."""


def state_of(attempts: Sequence[SeenAttempt], commit: Commit | None) -> ShardState:
    """How a shard stands.

    Args:
        attempts: at it.
        commit: of one of them.
    """
    if commit is not None:
        return "done"
    if not attempts:
        return "open"
    if any(each.ended is None and not each.is_lost for each in attempts):
        return "at work"
    return "ended" if attempts[-1].ended is not None else "lost"
