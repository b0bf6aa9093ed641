"""What is handed to an engine: the shards of a job that are not done, how one is tried, what was handed over before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ipexlaunch.documents.codec import dump_json, read_value, to_plain
from ipexlaunch.documents.text import parse_document
from ipexlaunch.errors import RequestError, UsageError
from ipexlaunch.machine.wording import counted

ENGINES = ("slurm", "kubernetes", "ray", "local")

HANDED_OVER = "submitted.json"
"""Name of the file in a job's directory."""

SCHEMA = "ipexlaunch/submitted/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingShards:
    """The shards of a job that nobody has done."""

    directory: str
    """Of the job, absolute, as every host sees it."""
    indices: tuple[int, ...]
    of: int
    """How many shards the job has."""
    launcher: tuple[str, ...] = ("ipexlaunch",)
    """Starts ipexlaunch on every host."""

    def try_one(self, *more: str) -> tuple[str, ...]:
        """The words that try a shard.

        Args:
            more: options.
        """
        return (*self.launcher, "shards", "run", self.directory, *more)

    @property
    def merge(self) -> tuple[str, ...]:
        """The words that put the results together."""
        return (*self.launcher, "shards", "merge", self.directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One time that shards were handed to an engine."""

    engine: str
    job: str
    """What the engine calls it."""
    shards: str
    """A list such as "0-23"."""
    at: str
    """UTC, by the clock of the host where it was typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submissions:
    """Every time so far."""

    submissions: tuple[Submission, ...] = field(default=())


def write_submissions(all_: Submissions) -> str:
    """The JSON of them."""
    return dump_json({"schema": SCHEMA, **to_plain(all_)})


def read_submissions(text: str, source: str) -> Submissions:
    """What `write_submissions` wrote.

    Args:
        text: JSON.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document.
    """
    return read_value(parse_document(text, source, {"submitted": [1]}), Submissions)


def options_from_words(words: Sequence[str]) -> dict[str, str]:
    """The options of an engine, by name.

    Args:
        words: "NAME=VALUE", or "NAME" for an option without a value.

    Raises:
        UsageError: a word is none, or a name stands there twice.
    """
    options: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        name = name.removeprefix("--")
        if not name.replace("-", "").isalnum() or not name.isascii():
            raise UsageError(f"--engine-option {word!r} is no NAME=VALUE, such as time=4:00:00")
        if name in options:
            raise UsageError(f"--engine-option {name} is given twice; leave out one of them")
        options[name] = value
    return options


def refuse_unknown(options: Mapping[str, str], known: Mapping[str, str], engine: str) -> None:
    """Refuse options that an engine has not.

    Args:
        options: as given.
        known: name to what it says.
        engine: whose.

    Raises:
        UsageError: one is unknown, or has no value.
    """
    for name, value in options.items():
        if name not in known:
            there = ", ".join(f"{each} ({what})" for each, what in known.items()) or "it has none"
            raise UsageError(f"--engine-option {name} is none of {engine}: {there}")
        if not value:
            raise UsageError(f"--engine-option {name} has no value; write {name}=VALUE: {known[name]}")


def count_of(options: Mapping[str, str], name: str, default: int) -> int:
    """A whole number above 0.

    Args:
        options: of an engine.
        name: of one of them.
        default: where it is not given.

    Raises:
        UsageError: it is no such number.
    """
    text = options.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 10**9):
        raise UsageError(f"--engine-option {name}={text} is no whole number above 0, such as {name}=4")
    return int(text)


def refuse_line_breaks(pending: PendingShards, engine: str) -> None:
    """Refuse a directory whose name an engine has no form for.

    Args:
        pending: whose directory it is.
        engine: that is to be told.

    Raises:
        RequestError: it has control characters.
    """
    if not pending.directory.isprintable():
        wanted = f"submit {counted(len(pending.indices), 'shard')} to {engine}"
        raise RequestError(wanted, f"DIR is {pending.directory!r}", "move the job to a path of printable characters")
