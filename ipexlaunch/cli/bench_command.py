"""`ipexlaunch bench`: a run of the built-in worker with a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from ipexlaunch.cli import use_profile
from ipexlaunch.cli.options.across_options import across_options
from ipexlaunch.cli.options.checked_command import checked_command
from ipexlaunch.cli.options.model_options import BenchOptions, bench_options
from ipexlaunch.cli.options.plan_options import options_of, plan_options, plan_to_run
from ipexlaunch.cli.options.run_options import baseline_option, profile_option, run_options
from ipexlaunch.cli.run.built_in_workers import built_in_job, model_job, resolved, tell_choice, text_of
from ipexlaunch.cli.run.know_model import knowing_the_model, task_of
from ipexlaunch.cli.run.make_job import launch_from_options, show_commands
from ipexlaunch.cli.run.start_run import start_run

WORKER = "ipexlaunch.models.run_model"


@checked_command("bench")
@bench_options
@plan_options
@run_options
@baseline_option
@profile_option
@across_options
@click.pass_context
def bench_command(context: click.Context, /, **values: Any) -> int:
    """Run a model on every instance and report throughput, latencies, and how long it took to be ready."""
    options = knowing_the_model(options_of(BenchOptions, context, values))
    known = profile = None
    if options.profile:
        key = use_profile.model_key(options.model, options.task or task_of(options.model))
        options, profile = use_profile.with_profile(context, options, key)
    job = model_job(
        options.model,
        options,
        options.batch_size,
        text=text_of(options.text),
        warmup_batches=options.warmup,
        seconds=options.duration,
    )
    plan, topology = plan_to_run(options)
    program = built_in_job(WORKER, options)
    found = resolved(job, program, plan, topology, options)
    program = replace(program, arguments=(found.job.to_json(),))
    launch = launch_from_options(plan, program, options, found.choice.left_out)
    if options.dry_run:
        return show_commands(launch)
    tell_choice(found.choice)
    if profile is not None and not options.baseline:
        known = use_profile.baseline_of_profile(profile, launch.job, model=found.job)
    return start_run(launch, topology, options, options, known).exit_code
