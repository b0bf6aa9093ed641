"""`ipexlaunch batch`: every item of an input through a program, once, whatever dies."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any

import click

from ipexlaunch.batch.feed import FeedRules, QueueFeeder, ThreadedJournal
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
from ipexlaunch.cli.batch_program import candidate_of_before, identity_of, model_program
from ipexlaunch.cli.options.batch_input import batch_rules, find_input, output_rules
from ipexlaunch.cli.options.batch_options import BatchOptions, batch_options
from ipexlaunch.cli.options.check_files import check_overlaps, program_reads
from ipexlaunch.cli.options.checked_command import checked_command, program_arguments
from ipexlaunch.cli.options.plan_options import options_of, plan_options, plan_to_run
from ipexlaunch.cli.options.run_options import run_options_where_fed
from ipexlaunch.cli.replay import job_to_replay, recorded_values, tell_changes
from ipexlaunch.cli.run.input_texts import NO_TEXTS, input_texts
from ipexlaunch.cli.run.kinds_of_run import BatchRun
from ipexlaunch.cli.run.know_model import knowing_the_model
from ipexlaunch.cli.run.make_job import job_from_options, launch_from_options, show_commands
from ipexlaunch.cli.run.run_launch import run_launch
from ipexlaunch.cli.terminal import tell
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.supervise.take_signals import WARNING
from ipexlaunch.launch.wait_for_disk import DiskPatience
from ipexlaunch.machine.topology import Topology
from ipexlaunch.models.engines.candidate import Candidate

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
    return run_batch(context, program, arguments, values)


@dataclass(frozen=True, kw_only=True)
class SharedChoice:
    """Which engine and dtype the shards of a job run on hosts of one kind."""

    before: Callable[[], Candidate | None]
    """What others run; None where nobody has chosen."""
    keep: Callable[[Candidate], Candidate]
    """Have them run what was found here; or what another has found meanwhile, which is given back."""


@dataclass(frozen=True, kw_only=True)
class PartOfJob:
    """What makes a batch job one of the shards of a larger one."""

    narrowed: Callable[[ItemSource], ItemSource]
    """Of the whole input this part alone."""
    output: BatchOutput
    """Open for results, with what is done already."""
    again: str
    """The line that tries it again."""
    choices: Callable[[Topology], SharedChoice]
    """Of the hosts that are like this one."""


def run_batch(
    context: click.Context,
    program: str | None,
    arguments: tuple[str, ...],
    values: dict[str, Any],
    part: PartOfJob | None = None,
) -> int:
    """Do a batch job; its exit code.

    Args:
        context: of `batch`.
        program: None with --model or --replay.
        arguments: of the program.
        values: the options.
        part: of which shard it is; None for a job of its own.

    Raises:
        IpexLaunchError: it cannot be done.
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
    rules = output_rules(options) if part is None else part.output.rules
    plan, topology = plan_to_run(options)
    if replayed is None and program is not None:
        job = job_from_options(program, arguments, options)
    source = find_input(options)
    # Outside of a run a signal ends the launcher; but the interpreter takes none while it waits for a disk itself.
    disk = DiskPatience(0.0, lambda: False, tell)
    look = f"look at {rules.path}"
    stream = None if options.dry_run or part is not None else disk.have(lambda: check_output(rules, options), look)
    whole, source = source, source if part is None else part.narrowed(source)
    items = None if options.dry_run else _checked_items(source, rules, options, goes_on=part is not None)
    sample = () if options.dry_run or whole.may_wait else whole.items(keep_bad=True)
    texts = context.with_resource(input_texts(sample, whole.name, options.model))
    if replayed is not None:
        check_overlaps(values, program_reads(replayed))
        tell_changes(values["replay"], replayed)
        job = replayed
    elif options.model is not None:
        former, keep = None, None
        if part is not None:
            shared = part.choices(topology)
            former, keep = shared.before, shared.keep
        elif options.resume or options.retry_dead:
            former = partial(candidate_of_before, options)
        job, notes = model_program(options.model, plan, topology, options, texts, former, keep)
    launch = launch_from_options(plan, texts.of_program(job), options, notes)
    if options.dry_run:
        return show_commands(launch)
    if part is not None:
        feeding = _feeding(source, part.output, items, len(launch.workers), options, part.again)
        return _start(launch, topology, options, feeding)
    identity = identity_of(NO_TEXTS.of_program(job), source, rules, options)
    output = disk.have(lambda: open_output(rules, stream, identity, options), f"open {rules.path}")
    if options.retry_dead and not (output.journal.again and output.journal.again.count):
        return disk.have(output.nothing_to_retry, f"finish {rules.path}")
    if output.journal.progress.complete and not options.retry_dead:
        return disk.have(output.finish_former, f"finish {rules.path}")
    further = line_to_go_on(sys.argv[1:], len(arguments) + (program is not None))
    feeding = _feeding(source, output, items, len(launch.workers), options, further)
    return _start(launch, topology, options, feeding, shows=not output.draws_on_terminal)


def _start(launch: Launch, topology: Topology, options: BatchOptions, feeding: BatchRun, *, shows: bool = True) -> int:
    options = replace(options, live=not options.no_progress and shows)
    return run_launch(launch, topology, options, feeding).exit_code


def _checked_items(
    source: ItemSource, rules: OutputRules, options: BatchOptions, *, goes_on: bool
) -> FirstItems[Any] | None:
    """Look at the input before any work, while all is as it was; a pipe's first items come back."""
    keep_bad = options.on_bad_line == "dead-letter"
    if not source.may_wait:
        source.look()
        goes_on = goes_on or options.resume or options.retry_dead
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
    """What makes the run a batch job; `further` is the line that resumes it."""
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
    journal = ThreadedJournal(output.journal, output.rules.path, output.ways.again)
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
