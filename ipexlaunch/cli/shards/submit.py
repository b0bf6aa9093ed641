"""`ipexlaunch shards submit`: hands the shards that are not done to Slurm, Kubernetes or Ray, or does them here."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace

import click

from ipexlaunch.batch.shards.shard_directory import commit_of, now_utc, open_job
from ipexlaunch.batch.shards.sharded_job import ShardedJob
from ipexlaunch.cli.options.help_pages import HelpfulCommand
from ipexlaunch.cli.options.plan_options import plan_of, request_from_options
from ipexlaunch.cli.own_command import own_command
from ipexlaunch.cli.shards.batch_words import job_context
from ipexlaunch.cli.terminal import tell
from ipexlaunch.documents.read_text import read_text
from ipexlaunch.documents.write_file import write_file
from ipexlaunch.errors import TRY_AGAIN, LaunchError, PlanError
from ipexlaunch.hosts.submit.call_program import answer_of, become, codes_one_by_one
from ipexlaunch.hosts.submit.indexed_job import PodSize, shards_manifest
from ipexlaunch.hosts.submit.pending_shards import (
    ENGINES,
    HANDED_OVER,
    PendingShards,
    Submission,
    Submissions,
    options_from_words,
    read_submissions,
    refuse_unknown,
    write_submissions,
)
from ipexlaunch.hosts.submit.ray_directive import directive_for, write_directive
from ipexlaunch.hosts.submit.slurm_array import MERGE_JOB, BatchScript, array_scripts
from ipexlaunch.launch.guard_streams import wait_until_shown
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.export_kubernetes import LAUNCHER_BYTES

DRIVER = "ipexlaunch.hosts.submit.ray_driver"

END_OF_TEXT = "END_OF_SCRIPT"


@click.command("submit", cls=HelpfulCommand)
@click.argument("directory", metavar="DIR")
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    required=True,
    help="Who queues them; local does them here, one after another.",
)
@click.option(
    "--engine-option",
    "words",
    multiple=True,
    metavar="NAME=VALUE",
    help="For the engine, such as partition=cpu or time=4:00:00 for sbatch (repeatable).",
)
@click.option("--print", "shown_only", is_flag=True, help="Show what would be submitted, and submit nothing.")
def submit_command(directory: str, *, engine: str, words: tuple[str, ...], shown_only: bool) -> int:
    """Hand the shards of the job in DIR that are not done to an engine, which tries each until it is done, then merges.

    Exit codes: 0 handed over, or done and merged; of ray and local also those of `shards run` and `shards merge`.
    """
    place = os.path.abspath(directory)
    job = open_job(place)
    options = options_from_words(words)
    left = tuple(index for index in range(len(job.shards)) if commit_of(place, index) is None)
    pending = PendingShards(directory=place, indices=left, of=len(job.shards), launcher=own_command())
    if not left:
        tell(f"all {counted(pending.of, 'shard')} are done; next: ipexlaunch shards merge {shlex.quote(directory)}")
        return 0
    if not shown_only:
        _say_former(place, directory)
    if engine == "slurm":
        return _to_slurm(pending, options, shown_only)
    if engine == "kubernetes":
        return _to_kubernetes(pending, job, options, shown_only)
    if engine == "ray":
        return _to_ray(pending, options, shown_only)
    refuse_unknown(options, {}, engine)
    return _done_here(pending, shown_only)


def _to_slurm(pending: PendingShards, options: Mapping[str, str], shown_only: bool) -> int:
    array, merge = array_scripts(pending, options)
    if shown_only:
        click.echo(f"array=$({_with_script(array)}\n)")
        click.echo(_with_script(merge).replace(MERGE_JOB, '"$array"'))
        return 0
    wanted, hint = _wanted(pending, "slurm"), "type this on a host of the cluster; --print shows what it would submit"
    number = answer_of(array.words, array.text, wanted, hint).partition(";")[0]
    words = [word.replace(MERGE_JOB, number) for word in merge.words]
    _note(pending, "slurm", f"array {number}")
    last = answer_of(words, merge.text, f"submit the merge behind the array {number}", hint).partition(";")[0]
    tell(f"Slurm has {counted(len(pending.indices), 'shard')} as array {number}, and the merge behind it as job {last}")
    tell(f"their logs are slurm-{number}_K.txt and slurm-merge-{last}.txt in {pending.directory}; watch: squeue --me")
    return 0


def _with_script(script: BatchScript) -> str:
    words = " ".join(word if MERGE_JOB in word else shlex.quote(word) for word in script.words)
    return f"{words} <<'{END_OF_TEXT}'\n{script.text}{END_OF_TEXT}"


def _to_kubernetes(pending: PendingShards, job: ShardedJob, options: Mapping[str, str], shown_only: bool) -> int:
    text = shards_manifest(pending, options, None if {"cpus", "memory"} <= options.keys() else _planned(job))
    if shown_only:
        click.echo(text, nl=False)
        return 0
    hint = "type this where kubectl is, or use the manifest: --print > job.yaml"
    said = answer_of(["kubectl", "create", "-f", "-", "-o", "name"], text, _wanted(pending, "kubernetes"), hint)
    _note(pending, "kubernetes", said)
    tell(f"Kubernetes has {counted(pending.of, 'shard')} as {said}; watch: kubectl get {shlex.quote(said)}")
    tell(f"when it is complete: ipexlaunch shards merge {shlex.quote(pending.directory)}")
    return 0


def _planned(job: ShardedJob) -> PodSize:
    """What a pod needs that the job's instances fill, as they are planned on this host."""
    context = job_context(job, [job.files[0].path], "-")
    topology = open_topology("live")
    try:
        plan = plan_of(topology, request_from_options(context.params), context.params["plan_file"])
    except PlanError as error:
        hint = "where pods are on other hosts than this: --engine-option cpus=N --engine-option memory=SIZE"
        raise PlanError(error.wanted, error.available, hint) from None
    cores = topology.cores_of(cpu for instance in plan.chosen for cpu in instance.cpus)
    each = plan.request.memory_per_instance_bytes
    memory = None if each is None else each * len(plan.chosen) + LAUNCHER_BYTES
    return PodSize(sum(len(topology.cores[core]) for core in cores), memory)


def _to_ray(pending: PendingShards, options: Mapping[str, str], shown_only: bool) -> int:
    text = write_directive(directive_for(pending, options))
    words = [sys.executable, "-m", DRIVER, text]
    if shown_only:
        click.echo(shlex.join(words))
        return 0
    if importlib.util.find_spec("ray") is None:
        there = f"{sys.executable} has no Ray"
        raise LaunchError(_wanted(pending, "ray"), there, 'pip install "ipexlaunch[ray]", or use another engine')
    _note(pending, "ray", f"driver {os.uname().nodename}:{os.getpid()}")
    wait_until_shown()
    become(words)
    return 0


def _done_here(pending: PendingShards, shown_only: bool) -> int:
    commands = [pending.try_one("--index", str(index)) for index in pending.indices]
    if shown_only:
        click.echo("\n".join(map(shlex.join, [*commands, pending.merge])))
        return 0
    codes = []
    for code in codes_one_by_one(iter(commands)):
        codes.append(code)
        if code == TRY_AGAIN:
            break
    if len(codes) < len(commands) or codes[-1] == TRY_AGAIN:
        tell(f"stopped after {len(codes)} of {counted(len(commands), 'shard')}; to go on, submit again")
        return codes[-1]
    (merged,) = codes_one_by_one(iter([pending.merge]))
    return next(filter(None, codes), merged)


def _wanted(pending: PendingShards, engine: str) -> str:
    return f"submit {counted(len(pending.indices), 'shard')} to {engine}"


def _former(place: str) -> Submissions:
    path = os.path.join(place, HANDED_OVER)
    return read_submissions(read_text(path), path) if os.path.lexists(path) else Submissions()


def _say_former(place: str, directory: str) -> None:
    """Who submits twice should know it; nothing is done twice, but hosts may wait for what others do."""
    for each in _former(place).submissions[-1:]:
        tell(
            f"note: shards {each.shards} were submitted at {each.at} ({each.engine}, {each.job}), and may be queued or"
            f" at work: ipexlaunch shards status {shlex.quote(directory)}; no result counts twice, but work may be done"
            " twice"
        )


def _note(pending: PendingShards, engine: str, job: str) -> None:
    """Write down what was handed over; who cannot is told, as it is handed over all the same."""
    former = _former(pending.directory)
    new = Submission(engine=engine, job=job, shards=format_list(pending.indices), at=now_utc())
    path = os.path.join(pending.directory, HANDED_OVER)
    try:
        write_file(path, write_submissions(replace(former, submissions=(*former.submissions, new))))
    except OSError as error:
        tell(f"note: {path} could not be written: {error.strerror}")
