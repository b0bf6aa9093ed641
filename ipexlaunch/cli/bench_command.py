"""`ipexlaunch bench`: the built-in worker with a model on every instance."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from ipexlaunch.cli.options.bench_options import bench_options
from ipexlaunch.cli.options.check_files import FileCheckedCommand
from ipexlaunch.cli.options.model_options import model_job, resolved, task_of, text_of
from ipexlaunch.cli.options.plan_options import plan_options
from ipexlaunch.cli.options.profile_options import apply_profile, model_key, profile_option
from ipexlaunch.cli.options.run_options import run_options
from ipexlaunch.cli.run.built_in_workers import built_in_job
from ipexlaunch.cli.run.make_job import launch_from_options
from ipexlaunch.cli.run.plan_to_run import plan_to_run
from ipexlaunch.cli.run.run_launch import run_launch
from ipexlaunch.cli.run.solo_run import baseline_option
from ipexlaunch.cli.solo_rate_of_profile import baseline_of_profile
from ipexlaunch.cli.terminal import spoken
from ipexlaunch.launch.job import shell_line

WORKER = "ipexlaunch.models.run_model"


@click.command(
    name="bench",
    cls=FileCheckedCommand,
    context_settings={"token_normalize_func": lambda token: token.replace("_", "-")},
)
@bench_options
@plan_options
@run_options
@baseline_option
@profile_option
@click.pass_context
def command(context: click.Context, /, **options: Any) -> int:
    """Run a model on every instance and report throughput, latencies, and how long it took to be ready.

    \b
      ipexlaunch bench --model ./all-MiniLM-L6-v2
      ipexlaunch bench --ninstances 2 --model random:llama-160m --engine torch --dtype bf16
    """
    profile = None
    if options["profile"]:
        profile = apply_profile(
            context, options, model_key(options["model"], options["task"] or task_of(options["model"]))
        )
    job = model_job(
        options,
        text=text_of(options["text"]),
        warmup_batches=options["warmup"],
        seconds=options["duration"],
    )
    plan, topology = plan_to_run(options)
    program = built_in_job(WORKER, options)
    found = resolved(job, program, plan, topology, options)
    launch = launch_from_options(plan, replace(program, arguments=(found.job.to_json(),)), options)
    launch = replace(launch, notes=(*launch.notes, *found.choice.left_out))
    if options["dry_run"]:
        for worker in launch.workers:
            click.echo(shell_line(worker))
        return 0
    _tell(f"{found.choice.candidate.name}: {found.choice.why}")
    known = None
    if profile is not None and not options["baseline"]:
        known = baseline_of_profile(profile, launch.job, model=found.job)
    return run_launch(launch, topology, options, known=known).exit_code


def _tell(text: str) -> None:
    print(f"ipexlaunch: {spoken(text)}", file=sys.stderr, flush=True)
