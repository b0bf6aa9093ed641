"""`ipexlaunch run`: plan, launch, supervise, report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from ipexlaunch.cli.options.check_files import FileCheckedCommand, check_overlaps, program_reads
from ipexlaunch.cli.options.plan_options import plan_options
from ipexlaunch.cli.options.profile_options import apply_profile, profile_option, program_key, with_batch_size
from ipexlaunch.cli.options.run_options import run_options
from ipexlaunch.cli.run.make_job import job_from_options, launch_from_options
from ipexlaunch.cli.run.plan_to_run import plan_to_run
from ipexlaunch.cli.run.replay import job_to_replay, tell_changes
from ipexlaunch.cli.run.run_launch import run_launch
from ipexlaunch.cli.run.script_options import script_options, script_runner
from ipexlaunch.cli.run.solo_run import baseline_option
from ipexlaunch.cli.solo_rate_of_profile import baseline_of_profile
from ipexlaunch.launch.job import shell_line


@click.command(
    name="run",
    cls=FileCheckedCommand,
    context_settings={
        "allow_interspersed_args": False,  # what follows PROGRAM is the program's, whatever it looks like
        "token_normalize_func": lambda token: token.replace("_", "-"),  # ipexrun takes --log_dir as well as --log-dir
    },
)
@plan_options
@run_options
@baseline_option
@profile_option
@script_options
@click.option("--replay", metavar="DIR", help="Repeat the run that --run-dir kept in DIR, on this machine.")
@click.argument("program", type=click.UNPROCESSED, required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, /, program: str | None, arguments: tuple[str, ...], **options: Any) -> int:
    """Start one pinned, memory-bound worker per instance, wait for all, and report the throughput.

    PROGRAM is a Python script (a module with -m, any executable with --no-python). In its ARGUMENTS and in --env,
    {index} {count} {cpus} {nodes} {threads} {port} stand for the instance's own.
    """
    profile, typed = None, arguments
    if options["replay"] is not None:
        job = job_to_replay(context, program, options)
        check_overlaps(options, program_reads(job))
        plan, topology = plan_to_run(options)
        tell_changes(options["replay"], job)
    elif program is None:
        raise click.MissingParameter(ctx=context, param_hint="'PROGRAM'", param_type="argument")
    else:
        if options["profile"]:
            profile = apply_profile(context, options, program_key(program, options))
            arguments = with_batch_size(arguments, profile.setting.batch_size, profile.batch_size_option)
        plan, topology = plan_to_run(options)
        job = job_from_options(program, arguments, options)
        job = replace(job, runner=script_runner(job, topology, options))
    launch = launch_from_options(plan, job, options)
    if options["dry_run"]:
        for worker in launch.workers:
            click.echo(shell_line(worker))
        return 0
    known = None
    if profile is not None and not options["baseline"]:
        known = baseline_of_profile(profile, launch.job, typed)
    report = run_launch(launch, topology, options, known=known)
    return report.exit_code
