"""`ipexlaunch batch`: every item of an input through a program, once, whatever dies."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Any

import click

from ipexlaunch.batch.feed import FeedRules, QueueFeeder, ThreadedJournal
from ipexlaunch.batch.feed.open_job import recorded_job
from ipexlaunch.batch.input.open_items import ItemSource, look_at_items
from ipexlaunch.batch.input.threaded_reader import (
    FILE_READ_AHEAD,
    FirstItems,
    InputObserver,
    ThreadedReader,
    first_items,
)
from ipexlaunch.batch.items import BatchProgress
from ipexlaunch.batch.output.result_rows import OutputRules
from ipexlaunch.batch.work_queue import WorkQueue
from ipexlaunch.cli.batch_output import BatchOutput, check_output, conclude, line_to_go_on, open_output
from ipexlaunch.cli.options.batch_input import batch_rules, find_input, output_rules
from ipexlaunch.cli.options.batch_options import BatchOptions, FedOptions, batch_options
from ipexlaunch.cli.options.check_files import check_overlaps, program_reads
from ipexlaunch.cli.options.checked_command import checked_command, program_arguments
from ipexlaunch.cli.options.plan_options import options_of, plan_options, plan_to_run
from ipexlaunch.cli.options.run_options import run_options_where_fed
from ipexlaunch.cli.replay import job_to_replay, recorded_values, tell_changes
from ipexlaunch.cli.run.built_in_workers import built_in_job, model_job, resolved, tell_choice
from ipexlaunch.cli.run.input_texts import NO_TEXTS, InputTexts, input_texts
from ipexlaunch.cli.run.know_model import knowing_the_model
from ipexlaunch.cli.run.make_job import job_from_options, launch_from_options, show_commands
from ipexlaunch.cli.run.run_launch import BatchRun, run_launch
from ipexlaunch.cli.terminal import tell
from ipexlaunch.documents.secret_values import masked
from ipexlaunch.errors import UsageError
from ipexlaunch.launch.job import Job
from ipexlaunch.launch.supervise.take_signals import WARNING
from ipexlaunch.launch.wait_for_disk import DiskPatience
from ipexlaunch.machine.topology import Topology
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.engines.openai_request import TASKS
from ipexlaunch.plan import Plan

WORKER = "ipexlaunch.models.run_batch"

LOST_TIME = 1.0
"""The results are what is wanted, and who else used the cores does not make them wrong."""


@checked_command("batch", takes_program=True)
@batch_options
@plan_options
@run_options_where_fed(LOST_TIME)
@program_arguments
def batch_command(context: click.Context, /, program: str | None, arguments: tuple[str, ...], **values: Any) -> int:
    """Put every item of an input through a model or PROGRAM, on all instances, and write each result once.

    PROGRAM takes its items from ipexlaunch.worker.batches(). Items of a worker that dies go to the others; an item that
    kills its workers goes to OUTPUT.dead.jsonl.
    """
    replayed, notes = None, tuple[str, ...]()
    if values["replay"] is not None:
        recorded, values = recorded_values(context, program, values)
        replayed = job_to_replay(values["replay"], recorded)
    elif not values["input_file"]:
        raise click.MissingParameter(ctx=context, param_hint="'--input'", param_type="option")
    elif (program is None) == (values["model"] is None):
        raise click.UsageError("give either a PROGRAM or --model", context)
    options = knowing_the_model(options_of(BatchOptions, context, values))
    rules = output_rules(options)
    plan, topology = plan_to_run(options)
    if replayed is None and program is not None:
        job = job_from_options(program, arguments, options)
    source = find_input(options)
    # Outside of a run a signal ends the launcher; but the interpreter takes none while it waits for a disk itself.
    disk = DiskPatience(0.0, lambda: False, tell)
    look = f"look at {rules.path}"
    stream = None if options.dry_run else disk.have(lambda: check_output(rules, options), look)
    items = None if options.dry_run else _checked_items(source, rules, options)
    sample = () if options.dry_run or source.may_wait else source.items(keep_bad=True)
    texts = context.with_resource(input_texts(sample, source.name, options.model))
    if replayed is not None:
        check_overlaps(values, program_reads(replayed))
        tell_changes(values["replay"], replayed)
        job = replayed
    elif options.model is not None:
        goes_on = options.resume or options.retry_dead
        former = partial(_candidate_of_before, options) if goes_on else None
        job, notes = model_program(options.model, plan, topology, options, texts, former)
    launch = launch_from_options(plan, texts.of_program(job), options, notes)
    if options.dry_run:
        return show_commands(launch)
    identity = _identity(NO_TEXTS.of_program(job), source, rules, options)
    output = disk.have(lambda: open_output(rules, stream, identity, options), f"open {rules.path}")
    if options.retry_dead and not (output.journal.again and output.journal.again.count):
        return disk.have(output.nothing_to_retry, f"finish {rules.path}")
    if output.journal.progress.complete and not options.retry_dead:
        return disk.have(output.finish_former, f"finish {rules.path}")
    further = line_to_go_on(sys.argv[1:], len(arguments) + (program is not None))
    feeding = _feeding(source, output, items, len(launch.workers), options, further)
    options = replace(options, live=not options.no_progress and not output.draws_on_terminal)
    return run_launch(launch, topology, options, feeding).exit_code


def model_program(
    model: str,
    plan: Plan,
    topology: Topology,
    options: FedOptions,
    texts: InputTexts,
    former: Callable[[], Candidate | None] | None = None,
) -> tuple[Job, tuple[str, ...]]:
    """The built-in worker with its model; and which candidates for it were not to be had, for the report.

    Args:
        model: a transformers directory, or random:NAME.
        plan: the instances.
        topology: the machine.
        options: of the command.
        texts: what candidates are measured on.
        former: what a job that is gone on with was begun with, if it may be that again.

    Raises:
        IpexLaunchError: the model cannot be run here.
        UsageError: the task has no results.
    """
    described = model_job(model, options, options.batch_size)
    if described.task == "forward":
        raise UsageError("--task forward has no results to write; give embed, classify or generate")
    if options.input_format == "openai":
        if described.task not in TASKS:
            raise UsageError(f"--format openai goes with --task {' or '.join(TASKS)}, not {described.task}")
        described = replace(described, requests=True)
    program = built_in_job(WORKER, options)
    if former is not None and plan.request.device is None and "auto" in (options.engine, options.dtype):
        candidate = former()
        if candidate is not None:
            tell(f"{candidate.name}: what the job began with")
            return replace(program, arguments=(replace(described, candidate=candidate).to_json(),)), ()
    found = resolved(texts.of_model(described), program, plan, topology, options)
    tell_choice(found.choice)
    return replace(program, arguments=(found.job.to_json(),)), found.choice.left_out


def _candidate_of_before(options: BatchOptions) -> Candidate | None:
    """The engine and dtype that were chosen when the job began, where they are among those that may be chosen now.

    Another measurement may find another one the fastest by little, and a job that is gone on with may not change it.
    """
    before = recorded_job(output_rules(options)).get("program")
    try:
        candidate = ModelJob.from_json(before["arguments"][0]).candidate if isinstance(before, dict) else None
    except (ValueError, TypeError, KeyError, IndexError):
        return None  # of a program, or of another version: the comparison with this job says so
    if candidate is None or options.engine not in ("auto", candidate.engine):
        return None
    return candidate if options.dtype in ("auto", candidate.dtype) else None


def _checked_items(source: ItemSource, rules: OutputRules, options: BatchOptions) -> FirstItems[Any] | None:
    """Look at the input before any work, while all is as it was; a pipe's first items come back."""
    keep_bad = options.on_bad_line == "dead-letter"
    if not source.may_wait:
        source.look()
        goes_on = options.resume or options.retry_dead
        look_at_items(lambda bury: source.items(keep_bad=bury), keep_bad=keep_bad, resume=goes_on)
        return None
    apart = ThreadedReader(source.items(keep_bad=keep_bad))
    replaces = options.overwrite and os.path.exists(rules.path)
    return first_items(apart, patient=replaces, tell=tell)


def _feeding(
    source: ItemSource,
    output: BatchOutput,
    piped: FirstItems[Any] | None,
    workers: int,
    options: BatchOptions,
    further: str,
) -> BatchRun:
    """What makes the run a batch job; `further` is the line that goes on with it."""
    again, done = output.journal.again, output.journal.progress.done
    before = done.count if again is None else 0
    items: Any
    if piped is not None:
        items = chain(piped.items, piped.rest)
    elif again is None:
        # What this run does it never reads again, so that a copy will do: the thread of the journal changes the other.
        items = source.items(deepcopy(done).__contains__, keep_bad=options.on_bad_line == "dead-letter")
    else:
        # Every one that is wanted gives an item or, once more, a letter; what comes after the last is not read.
        items = islice(source.items(lambda number: number not in again, keep_bad=True), again.count)
    rows: ThreadedReader[Any]
    if piped is not None:
        rows = piped.rest
    else:
        rows = items = ThreadedReader(items, **FILE_READ_AHEAD)
    if piped is not None or output.stream is not None:
        further = ""
    journal = ThreadedJournal(output.journal, output.rules.path)
    queue = WorkQueue(batch_rules(workers, options, attempts=options.attempts))
    patience = FeedRules(stall_timeout_s=options.stall_timeout)
    feeder = QueueFeeder(queue, items, journal, patience, output.stream, is_file=piped is None)

    def progress() -> BatchProgress:
        ended = feeder.queue.ended and feeder.input_error is None
        expected = before + feeder.read if ended else source.expected
        return BatchProgress(
            done=before + journal.tried,
            before=before,
            dead=journal.standing.dead,
            expected=expected if again is None else again.count,
            exact=ended or again is not None or source.is_counted,
        )

    return BatchRun(
        feeder=feeder,
        batches_held=feeder.queue.rules.in_flight,
        stall_timeout_s=options.stall_timeout,
        conclude=lambda disk: conclude(feeder, output, disk, progress(), further),
        progress=progress,
        watchers=(InputObserver(rows, feeder.input_came),),
        takes_stdout=output.takes_stdout,
        draining=frozenset({WARNING, signal.SIGTERM} if options.drain_on_term else {WARNING}),
    )


def _identity(job: Job, source: ItemSource, rules: OutputRules, options: BatchOptions) -> dict[str, object]:
    """What the results depend on: a job that is gone on with must be the same in all of it."""
    arguments = list(job.arguments)
    if job.program == WORKER:
        arguments = [ModelJob.from_json(arguments[0]).unlimited().to_json()]
    program: dict[str, object] = {"kind": job.kind, "name": job.program, "arguments": arguments}
    if job.kind == "script":
        script = os.path.join(job.program, "__main__.py") if os.path.isdir(job.program) else job.program
        with open(script, "rb") as file:
            program["sha256"] = hashlib.sha256(file.read()).hexdigest()
    if job.environment:
        program["environment"] = dict(job.environment)
    kept = {"--id-field": options.id_field, "--text-field": options.text_field}
    program = masked(program)
    form = {"--delimiter": options.delimiter, "--quote": options.quote}
    kept |= {name: value for name, value in form.items() if value not in (None, '"')}
    return {
        "input": source.identity or {"pipe": source.name},
        "program": program,
        "options": {**kept, "--keep-order": rules.keep_order, "--output-format parquet": rules.parquet},
    }
