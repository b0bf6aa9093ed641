"""`ipexlaunch loadgen`: MLPerf LoadGen over the workers of a batch job."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from typing import Any

import click

from ipexlaunch.batch.feed import CallbackJournal, FeedRules, QueueFeeder
from ipexlaunch.batch.input.threaded_reader import InputObserver, ThreadedReader
from ipexlaunch.batch.items import BatchProgress, BatchSummary, Item, summary_of
from ipexlaunch.batch.loadgen import VERDICT, BeginWhenReady, LoadRules, LoadTest, require_loadgen, why_invalid
from ipexlaunch.batch.work_queue import WorkQueue
from ipexlaunch.cli.batch_output import batch_summary_text
from ipexlaunch.cli.batch_program import model_program
from ipexlaunch.cli.options.batch_input import batch_rules, find_input
from ipexlaunch.cli.options.batch_options import LoadgenOptions, loadgen_options
from ipexlaunch.cli.options.checked_command import checked_command, program_arguments
from ipexlaunch.cli.options.plan_options import options_of, plan_options, plan_to_run
from ipexlaunch.cli.options.run_options import run_options_where_fed
from ipexlaunch.cli.run.input_texts import input_texts
from ipexlaunch.cli.run.kinds_of_run import BatchRun
from ipexlaunch.cli.run.know_model import knowing_the_model
from ipexlaunch.cli.run.make_job import job_from_options, launch_from_options, show_commands
from ipexlaunch.cli.run.run_launch import run_launch
from ipexlaunch.cli.terminal import tell
from ipexlaunch.errors import RequestError
from ipexlaunch.measure.validity import LOST_TIME_ALLOWED

LAST_WORDS_S = 30.0
"""How long LoadGen may take for its logs once everything is answered."""

AHEAD = 1 << 20
"""Queries that may wait: in Offline all of them come at once."""


@checked_command("loadgen", takes_program=True)
@loadgen_options
@plan_options
@run_options_where_fed(LOST_TIME_ALLOWED)
@program_arguments
def loadgen_command(context: click.Context, /, program: str | None, arguments: tuple[str, ...], **values: Any) -> int:
    """Let MLPerf LoadGen measure a model or PROGRAM on all instances, and print its own summary.

    PROGRAM takes its items from ipexlaunch.worker.batches(), as under `ipexlaunch batch`.
    """
    if (program is None) == (values["model"] is None):
        raise click.UsageError("give either a PROGRAM or --model", context)
    options = knowing_the_model(options_of(LoadgenOptions, context, values))
    plan, topology = plan_to_run(options)
    if not options.dry_run:
        require_loadgen()
    samples = [] if options.dry_run else _samples(options)
    notes: tuple[str, ...] = ()
    if options.model is not None:
        texts = context.with_resource(input_texts(samples, ", ".join(options.input_file), options.model))
        job, notes = model_program(options.model, plan, topology, options, texts)
    elif program is not None:
        job = job_from_options(program, arguments, options)
    launch = launch_from_options(plan, job, options, notes)
    if options.dry_run:
        return show_commands(launch)
    folder = options.loadgen_log_dir or tempfile.mkdtemp(prefix="ipexlaunch-loadgen-")
    os.makedirs(folder, exist_ok=True)
    test = LoadTest(samples, _rules(folder, options))
    options = replace(options, live=not options.no_progress)
    report = run_launch(launch, topology, options, _feeding(test, len(launch.workers), options))
    tell(f"LoadGen's logs are in {folder}")
    if test.begun and not test.over:
        # Its thread waits in LoadGen for answers that will never come, and nothing can call it back.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(report.exit_code or 1)
    return report.exit_code


def _samples(options: LoadgenOptions) -> list[Item]:
    source = find_input(options)
    samples = [item for item in source.items() if isinstance(item, Item)]
    if not samples:
        raise RequestError(f"draw samples from {source.name}", "it has no items", "give one item a line")
    return samples


def _rules(folder: str, options: LoadgenOptions) -> LoadRules:
    return LoadRules(
        scenario=options.scenario,
        qps=options.qps,
        min_duration_s=options.min_duration,
        min_queries=options.min_queries or (1 if options.scenario == "Offline" else 100),
        target_latency_ms=options.target_latency_ms,
        folder=folder,
    )


def _feeding(test: LoadTest, workers: int, options: LoadgenOptions) -> BatchRun:
    stall = options.stall_timeout
    answered = CallbackJournal(test.complete)
    # A query that waits in one worker's reserve while another has nothing to do would only be answered later.
    rules = batch_rules(workers, options, **({"in_flight": 1} if options.scenario == "Server" else {}))
    queries = ThreadedReader(test.items(), AHEAD)
    feeder = QueueFeeder(WorkQueue(rules), queries, answered, FeedRules(commit_s=0.0, stall_timeout_s=stall))

    def progress() -> BatchProgress:
        done = answered.progress
        expected = test.issued if test.rules.scenario == "Offline" and test.issued else None
        return BatchProgress(done=done.done.count, before=0, dead=done.dead, expected=expected, exact=True)

    return BatchRun(
        feeder=feeder,
        batches_held=rules.in_flight,
        stall_timeout_s=stall,
        conclude=lambda _: _conclude(feeder, test),
        progress=progress,
        watchers=(InputObserver(queries, feeder.input_came), BeginWhenReady(test)),
        together=True,
        takes_stdout=True,
    )


def _conclude(feeder: QueueFeeder, test: LoadTest) -> tuple[list[str], BatchSummary]:
    standing = feeder.journal.standing
    whole = standing.done == test.issued and test.issued > 0
    reasons = [feeder.problem] if feeder.problem else []
    if standing.dead:
        reasons.append(f"{standing.dead} sample{'s' * (standing.dead != 1)} given up")
    if not test.wait(LAST_WORDS_S if whole else 0.0):
        reasons.append(f"LoadGen's test did not finish{f': {test.error}' if test.error else ''}")
    else:
        summary = test.summary()
        click.echo(summary)
        if f"{VERDICT}VALID" not in summary:
            why = why_invalid(summary)
            reasons.append(f"LoadGen says: Result is INVALID{f' ({why})' if why else ''}")
    figures = summary_of(feeder.queue.figures, feeder.last_done.values(), done=standing.done, dead=standing.dead)
    tell(batch_summary_text(figures))
    return reasons, figures
