"""`ipexlaunch run`: plan, launch, supervise, report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from ipexlaunch.cli.options import RunOptions
from ipexlaunch.cli.options.across_options import across_options
from ipexlaunch.cli.options.check_files import check_overlaps, program_reads
from ipexlaunch.cli.options.checked_command import checked_command, program_arguments
from ipexlaunch.cli.options.option_types import valued
from ipexlaunch.cli.options.plan_options import options_of, plan_options, plan_to_run
from ipexlaunch.cli.options.run_options import baseline_option, profile_option, run_options, script_options
from ipexlaunch.cli.run.make_job import job_from_options, launch_from_options, show_commands
from ipexlaunch.cli.run.start_run import start_run


@checked_command("run", takes_program=True)
@plan_options
@run_options
@baseline_option
@profile_option
@script_options
@across_options
@valued("--replay", "Repeat the run that --run-dir kept in DIR, on this machine.", metavar="DIR")
@program_arguments
def run_command(context: click.Context, /, program: str | None, arguments: tuple[str, ...], **values: Any) -> int:
    """Start one pinned, memory-bound worker per instance, wait for all, and report the throughput.

    PROGRAM is a Python script (a module with -m, any executable with --no-python). In its ARGUMENTS and in --env,
    {index} {count} {cpus} {nodes} {threads} {port} stand for the instance's own.
    """
    known, profile, typed = None, None, arguments
    if values["replay"] is not None:
        # It reads kept runs of every kind, which no other run needs.
        from ipexlaunch.cli.replay import job_to_replay, recorded_values, tell_changes

        recorded, values = recorded_values(context, program, values)
        options = options_of(RunOptions, context, values)
        job = job_to_replay(values["replay"], recorded)
        check_overlaps(values, program_reads(job))
        plan, topology = plan_to_run(options)
        tell_changes(values["replay"], job)
    elif program is None:
        raise click.MissingParameter(ctx=context, param_hint="'PROGRAM'", param_type="argument")
    else:
        options = options_of(RunOptions, context, values)
        if options.profile:
            from ipexlaunch.cli import use_profile  # all that a search knows

            options, profile = use_profile.with_profile(context, options, use_profile.program_key(program, options))
            size, option = profile.setting.batch_size, profile.batch_size_option
            arguments = use_profile.with_batch_size(arguments, size, option)
        plan, topology = plan_to_run(options)
        job = job_from_options(program, arguments, options)
        if options.count_calls or options.auto_ipex:
            from ipexlaunch.cli.run.built_in_workers import script_runner  # engines, and how they are chosen

            job = replace(job, runner=script_runner(job, topology, options, options.dtype))
    launch = launch_from_options(plan, job, options)
    if options.dry_run:
        return show_commands(launch)
    if profile is not None and not options.baseline:
        known = use_profile.baseline_of_profile(profile, job, typed)
    return start_run(launch, topology, options, options, known).exit_code
