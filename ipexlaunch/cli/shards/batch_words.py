"""The words of `ipexlaunch batch` in which a job in shards keeps its options, and the command that they make again.

What tells results of that command from another's stands here too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from ipexlaunch.batch.shards.attempt import Commit
from ipexlaunch.batch.shards.job_file import fingerprint
from ipexlaunch.batch.shards.sharded_job import ShardedJob
from ipexlaunch.cli.batch_command import batch_command
from ipexlaunch.cli.batch_program import script_digest
from ipexlaunch.cli.options import ModelOptions, names_of
from ipexlaunch.cli.options.batch_options import ItemOptions
from ipexlaunch.cli.options.checked_command import check_options, is_typed
from ipexlaunch.documents.secret_values import with_secrets
from ipexlaunch.errors import LaunchError, RequestError, UsageError

SETTLED = (
    *(name for name in names_of(ItemOptions) if name not in ("input_file", "batch_size", "batch_tokens", "look_ahead")),
    *(name for name in names_of(ModelOptions) if name not in ("cache_dir", "cache_limit", "no_cache", "no_check")),
)
"""Options on which results depend: other values of them would be another job."""


def words_of(options: Mapping[str, Any], parameters: Sequence[click.Parameter]) -> Iterator[str]:
    """Options as they were typed, as words.

    Args:
        options: keyword arguments to what was typed: texts, lists of them, True for a flag.
        parameters: of the command.
    """
    for parameter in parameters:
        if not isinstance(parameter, click.Option) or parameter.name not in options:
            continue
        flag, value = parameter.opts[0], options[parameter.name]
        if parameter.is_flag:
            yield flag
            continue
        for each in value if parameter.multiple else (value,):
            yield from (flag, str(each))


def batch_context(
    options: Sequence[str], inputs: Sequence[str], output: str, program: str | None, arguments: Sequence[str]
) -> click.Context:
    """The context of the `batch` command that the words make, whose options go together.

    Args:
        options: words.
        inputs: files.
        output: file.
        program: None with --model.
        arguments: of the program.

    Raises:
        UsageError: the words are none of this command.
    """
    files = [word for each in inputs for word in ("--input", each)]
    words = [*options, *files, "--output", output, *([] if program is None else ["--", program, *arguments])]
    try:
        context = batch_command.make_context("batch", words)
        with context:
            check_options(context)
    except click.UsageError as error:
        raise UsageError(f"{error.format_message()} (options of the job)") from None
    if (context.params["program"] is None) == (context.params["model"] is None):
        raise UsageError("give either a PROGRAM or --model")
    return context


def job_context(job: ShardedJob, inputs: Sequence[str], output: str, more: Sequence[str] = ()) -> click.Context:
    """The context of the `batch` command of a job, with its secrets from our own variables.

    Args:
        job: as it was read.
        inputs: files of it.
        output: where results go.
        more: further options.

    Raises:
        LaunchError: a secret that it was made with is not among our variables.
        UsageError: its options are none of this version.
    """
    words = [*job.options, *([] if job.program is None else [job.program]), *job.arguments]
    filled, missing = with_secrets(words, os.environ)
    if missing:
        named, them = ", ".join(missing), "them" if len(missing) > 1 else "it"
        raise LaunchError("run the job", f"it was written without its secrets: {named}", f"set {them} for every shard")
    options, rest = filled[: len(job.options)], filled[len(job.options) :]
    program = rest[0] if job.program is not None else None
    return batch_context([*options, *more], inputs, output, program, rest[1:] if job.program is not None else ())


def fingerprint_of(job: ShardedJob, context: click.Context) -> str:
    """What tells results of this job from another's.

    Args:
        job: as it was read, or made.
        context: of its `batch` command.
    """
    return fingerprint(job, [f"{name}={context.params[name]!r}" for name in sorted(SETTLED) if is_typed(context, name)])


def refuse_other(found: Commit, mark: str, directory: str, wanted: str) -> None:
    """A shard that was done before job.yaml was edited is none of this job.

    Args:
        found: what was committed.
        mark: the fingerprint of this job.
        directory: of the job, as it was typed.
        wanted: what for, as a phrase for the message.

    Raises:
        RequestError: it is another job's.
    """
    if found.job != mark:
        raise RequestError(
            wanted,
            f"it was done for another {directory}/job.yaml: its input, program or options were others",
            "put back what it was, or make a job in another DIR",
        )


def program_digest(program: str | None, values: Mapping[str, Any]) -> str | None:
    """What tells a script from a changed one; None for what is no script.

    Args:
        program: as it was typed; None with --model.
        values: the options of `batch`.

    Raises:
        LaunchError: it cannot be read.
    """
    if program is None or values["module"] or values["no_python"]:
        return None
    try:
        return script_digest(program)
    except OSError as error:
        raise LaunchError(f"run the script {program!r}", str(error.strerror), "put it back") from None
