"""A job in shards as a Slurm array, and the job that merges what it did.

Each element has a host, is warned before its time is over, hands the warning on, and is queued again where it ends
with 75 or its host is lost. Slurm's names of output files: sbatch(1), "filename pattern".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from ipexlaunch.errors import RequestError, UsageError
from ipexlaunch.hosts.submit.pending_shards import PendingShards, refuse_line_breaks
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.plan.export_slurm import WARNING_S, warned_script

OURS = {
    "array": "the shards that are not done are its elements (at-once=N limits how many run at a time)",
    "nodes": "a shard has one host",
    "ntasks": "a shard has one launch",
    "ntasks-per-node": "a shard has one launch",
    "output": "logs are in DIR",
    "error": "logs are in DIR",
    "signal": "a shard is warned 120 s before its time is over",
    "requeue": "a shard is always queued again",
    "no-requeue": "a shard that drained, or whose host was lost, must be queued again",
    "open-mode": "a log goes on where a shard is tried again",
    "dependency": "the merge waits for the shards",
    "parsable": "it is always given",
    "wrap": "the script is ours",
    "wait": "it waits for each job alone",
    "test-only": "--print shows what would be submitted",
}
"""Options of sbatch that are not whoever submits', with the reason."""

OF_THE_MERGE = ("account", "clusters", "partition", "qos", "reservation", "time", "job-name")
"""Those that the merge is given too; it needs no whole host."""

MERGE_JOB = "{array}"
"""Stands in the merge's words for the number of the array."""


@dataclass(frozen=True, slots=True)
class BatchScript:
    """A script, and the words of sbatch that take it."""

    words: tuple[str, ...]
    text: str


def array_scripts(pending: PendingShards, options: Mapping[str, str]) -> tuple[BatchScript, BatchScript]:
    """The array and the merge.

    Args:
        pending: shards, one at least.
        options: of sbatch, without hyphens; "at-once" limits how many shards are tried at a time.

    Raises:
        UsageError: an option is one that we give.
        RequestError: the directory's path has no form in a name of an output file.
    """
    refuse_line_breaks(pending, "slurm")
    if "\\" in pending.directory:
        what = "DIR's path holds a backslash, which Slurm's names of output files cannot"
        raise RequestError("submit to slurm", what, "move the job")
    for name in options:
        if name in OURS:
            raise UsageError(f"--engine-option {name} is not for slurm: {OURS[name]}; leave it out")
    own = {name: value for name, value in options.items() if name != "at-once"}
    at_once = _at_once(options)
    whole = {} if "cpus-per-task" in own else {"exclusive": "", "mem": "0"}
    array = {
        "job-name": "ipexlaunch-shards",
        "array": format_list(pending.indices) + at_once,
        "nodes": "1",
        "ntasks": "1",
        **whole,
        "signal": f"B:USR1@{WARNING_S}",
        "requeue": "",
        "open-mode": "append",
        **own,
    }
    run = shlex.join(pending.try_one("--no-progress")) + ' --index "$SLURM_ARRAY_TASK_ID"'
    merge = {
        "job-name": "ipexlaunch-merge",
        "nodes": "1",
        "ntasks": "1",
        **{name: value for name, value in own.items() if name in OF_THE_MERGE},
    }
    folder = pending.directory.replace("%", "%%")
    sbatch = ("sbatch", "--parsable")
    return (
        BatchScript(
            (*sbatch, f"--output={folder}/slurm-%A_%a.txt"), _header(array) + warned_script(run, is_requeued=True)
        ),
        BatchScript(
            (*sbatch, f"--output={folder}/slurm-merge-%j.txt", f"--dependency=afterany:{MERGE_JOB}"),
            _header(merge) + f"exec {shlex.join(pending.merge)}\n",
        ),
    )


def _at_once(options: Mapping[str, str]) -> str:
    text = options.get("at-once")
    if text is None:
        return ""
    if re.fullmatch("[1-9][0-9]{0,5}", text) is None:
        raise UsageError(f"--engine-option at-once={text} is no whole number above 0, such as at-once=8")
    return f"%{text}"


def _header(options: Mapping[str, str]) -> str:
    lines = [f"#SBATCH --{name}{'=' if value else ''}{_quoted(value)}" for name, value in options.items()]
    return "\n".join(["#!/bin/bash", *lines, ""])


def _quoted(value: str) -> str:
    """A value in a line of options, which sbatch reads by rules of its own.

    Raises:
        UsageError: it holds what cannot stand there.
    """
    if re.fullmatch(r"[\w.,:;/=@%+*&|\[\]~^-]*", value, re.ASCII):
        return value
    if not value.isprintable():
        raise UsageError(f"--engine-option: {value!r} cannot stand in a batch script; leave out its control characters")
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
