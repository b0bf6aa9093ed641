"""`ipexlaunch batch`: every item of an input through a program, once, whatever dies."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from ipexlaunch.cli.batch_options import STALL_TIMEOUT_S, batch_options
from ipexlaunch.cli.make_job import job_from_options, launch_from_options
from ipexlaunch.cli.plan_file import plan_to_run
from ipexlaunch.cli.plan_options import plan_options
from ipexlaunch.cli.run_launch import Feeding, run_launch
from ipexlaunch.cli.run_options import run_options
from ipexlaunch.errors import RequestError
from ipexlaunch.launch import Job, shell_line

if TYPE_CHECKING:
    from ipexlaunch.feed_workers import QueueFeeder


@click.command(
    name="batch",
    context_settings={
        "allow_interspersed_args": False,  # what follows PROGRAM is the program's, whatever it looks like
        "token_normalize_func": lambda token: token.replace("_", "-"),
    },
)
@batch_options
@plan_options
@run_options
@click.argument("program", type=click.UNPROCESSED)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, /, program: str, arguments: tuple[str, ...], **options: Any) -> int:
    """Put every item of an input through PROGRAM, on all instances, and write each result once.

    PROGRAM takes its items from ipexlaunch.worker.batches(). Items of a worker that dies go to the others; an item that
    kills its workers goes to OUTPUT.dead.jsonl.
    """
    if options["on_failure"] != "stop":
        raise click.UsageError("--on-failure is for `run`; a batch job always restarts its workers", context)
    plan, topology = plan_to_run(context, options)
    job = job_from_options(program, arguments, options)
    launch = launch_from_options(plan, job, options)
    if options["dry_run"]:
        for worker in launch.workers:
            click.echo(shell_line(worker))
        return 0
    feeder = _feeder(job, len(launch.workers), options)
    if feeder.journal.progress.complete:
        feeder.journal.close()
        _tell(f"all {feeder.journal.progress.done.count} items are done already")
        return 0
    feeding = Feeding(
        feeder=feeder,
        batches_held=feeder.queue.rules.in_flight,
        stall_timeout_s=options["stall_timeout"] or STALL_TIMEOUT_S,
        conclude=_conclusion(feeder, options["output_file"]),
    )
    return run_launch(launch, topology, options, feeding).exit_code


def _feeder(job: Job, workers: int, options: dict[str, Any]) -> QueueFeeder:
    from ipexlaunch.batching.work_queue import BatchRules, WorkQueue
    from ipexlaunch.feed_workers import FeedRules, QueueFeeder
    from ipexlaunch.feed_workers.open_job import open_job
    from ipexlaunch.read_items.identity import identity_of
    from ipexlaunch.read_items.json_lines import read_json_lines

    source: str = options["input_file"]
    try:
        identity = identity_of(source)
    except OSError as error:
        raise RequestError(f"read {source}", str(error.strerror), "give the path of a file that is there") from None
    journal = open_job(
        options["output_file"],
        {"input": identity, "program": _program(job), "options": {"--id-field": options["id_field"]}},
        resume=options["resume"],
        overwrite=options["overwrite"],
        rebuild=options["rebuild"],
    )
    rules = BatchRules(
        workers=workers,
        largest=options["batch_size"],
        largest_padded=options["batch_tokens"],
        look_ahead=max(options["look_ahead"], options["batch_size"]),
        attempts=options["attempts"],
    )
    items = read_json_lines(source, options["id_field"], journal.progress.done.__contains__)
    patience = FeedRules(stall_timeout_s=options["stall_timeout"] or STALL_TIMEOUT_S)
    return QueueFeeder(WorkQueue(rules), items, journal, patience)


def _program(job: Job) -> dict[str, object]:
    """What the results depend on."""
    program: dict[str, object] = {"kind": job.kind, "name": job.program, "arguments": list(job.arguments)}
    if job.kind == "script":
        with open(job.program, "rb") as file:
            program["sha256"] = hashlib.sha256(file.read()).hexdigest()
    if job.environment:
        program["environment"] = dict(job.environment)
    return program


def _conclusion(feeder: QueueFeeder, output: str) -> Callable[[], Sequence[str]]:
    from ipexlaunch.batching.batch_figures import tail_idle_s
    from ipexlaunch.feed_workers.open_job import DEAD

    def conclude() -> list[str]:
        figures, progress = feeder.queue.figures, feeder.journal.progress
        waste = f", {figures.padding_waste:.1%} of it padding" if figures.padding_waste else ""
        _tell(
            f"{progress.done.count - progress.dead} items done ({figures.items_done} now in {figures.batches} batches"
            f"{waste}), {figures.requeued} given again, {progress.dead} given up, "
            f"{tail_idle_s(feeder.last_done.values()):.2f} s of workers idle at the end"
        )
        reasons = [feeder.problem] if feeder.problem else []
        if feeder.input_error is not None:
            reasons.append(str(feeder.input_error))
        elif not feeder.problem and not progress.complete:
            reasons.append("items are left that were not done; go on with --resume")
        if progress.dead:
            reasons.append(f"{progress.dead} item{'s' * (progress.dead != 1)} given up, see {output}{DEAD}")
        return reasons

    return conclude


def _tell(text: str) -> None:
    print(f"ipexlaunch: {text}", file=sys.stderr, flush=True)
