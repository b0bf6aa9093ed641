"""`ipexlaunch run --replay DIR` and `batch --replay DIR`: options, plan and job of a kept run, for this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import click

from ipexlaunch.cli.options import REPEATED, JobOptions, ModelOptions, ScriptOptions, names_of
from ipexlaunch.cli.options.batch_options import REPEATED_BY_BATCH, ItemOptions, ResultOptions
from ipexlaunch.cli.options.checked_command import check_options, is_typed
from ipexlaunch.cli.options.option_table import WRITES
from ipexlaunch.cli.run.built_in_workers import run_script
from ipexlaunch.cli.run.make_job import OWN_WORKERS, check_executable, first_of_path, workers_module_path
from ipexlaunch.cli.terminal import tell
from ipexlaunch.documents.secret_values import mask_variables, with_secrets
from ipexlaunch.errors import DocumentError, LaunchError
from ipexlaunch.launch.job import Job
from ipexlaunch.report.kept_runs.describe_host import interpreter_row, kept_variables
from ipexlaunch.report.kept_runs.open_runs import read_environment, read_kept_command
from ipexlaunch.report.kept_runs.run_directory import PLAN, RUN
from ipexlaunch.report.kept_runs.run_documents import RunCommand

SETTLED = names_of(JobOptions, ScriptOptions, ModelOptions, ItemOptions, ResultOptions)
"""What a kept run has decided; another value would be another run."""

CHANGES_SHOWN = 5

_OWN_FORMERLY = "ipexlaunch.workers."
"""What the built-in workers were called in runs that were kept before version 0.1.0 was released."""

BINDING = ("multi_task_manager", "disable_numactl", "disable_taskset")
"""Of these, one that is typed decides over all."""

REPEATED_BY = {"batch": "batch", "loadgen": "", "serve": ""}
"""The command that repeats a run of one, if not `run`; "" for none."""


def recorded_values(
    context: click.Context, program: str | None, values: Mapping[str, Any]
) -> tuple[RunCommand, dict[str, Any]]:
    """The kept run that --replay names, and the command's keyword arguments with what it says of them.

    Options that are typed now win over those of the kept run, where they do not decide what is run.

    Args:
        context: of the command.
        program: what was typed as PROGRAM: nothing, or it is a mistake.
        values: the command's keyword arguments.

    Raises:
        UsageError: something is typed that the kept run decides.
        DocumentError: there is no kept run, or a file of it does not follow its format.
        LaunchError: another command made it.
    """
    kept = os.path.abspath(values["replay"])
    if program is not None:
        raise click.UsageError(f"--replay repeats the program of {kept}; leave out {program!r}", context)
    for name in SETTLED:
        if is_typed(context, name):
            flag = next(parameter.opts[0] for parameter in context.command.params if parameter.name == name)
            raise click.UsageError(
                f"--replay and {flag} exclude each other: {kept} says it already; leave out {flag}", context
            )
    recorded = _recorded(kept, context.command.name)
    rebound = any(is_typed(context, name) for name in BINDING)
    repeated = {
        name: _value(context, name, recorded.options[name], os.path.join(kept, RUN))
        for name in (*REPEATED, *REPEATED_BY_BATCH)
        if name in recorded.options and not is_typed(context, name) and not (rebound and name in BINDING)
    }
    repeated = {**values, **repeated}
    check_options(context, repeated)
    written = [name for name in WRITES if repeated.get(name) not in (None, "", "-")]
    absolute = {name: os.path.abspath(repeated[name]) for name in written}  # to where the user is now
    return recorded, {**repeated, **absolute, "replay": kept, "plan_file": os.path.join(kept, PLAN)}


def _recorded(kept: str, command: str | None) -> RunCommand:
    """The command of a kept run, if this one can repeat it."""
    recorded = read_kept_command(kept)
    wanted, of = f"repeat the run in {kept}", recorded.command
    if (right := REPEATED_BY.get(of, "run")) != command:
        way = {"run": f"ipexlaunch run --replay {kept}", "batch": f"ipexlaunch batch --replay {kept} --output FILE"}
        raise LaunchError(wanted, f"it was made by `ipexlaunch {of}`", way.get(right, f"type `ipexlaunch {of}` again"))
    if of == "batch" and "input_file" not in recorded.options:
        noted = "the ipexlaunch that kept it did not note the input"
        raise LaunchError(wanted, noted, "type `ipexlaunch batch` again")
    return recorded


def _value(context: click.Context, name: str, value: Any, source: str) -> Any:
    """The value of an option as if it had been typed."""
    parameter = next((each for each in context.command.params if each.name == name), None)
    if value is None or parameter is None:
        return value
    several = isinstance(parameter, click.Option) and parameter.multiple
    if several and isinstance(value, str):
        value = [value]
    try:
        if isinstance(value, dict) or isinstance(value, list) != several:
            raise click.BadParameter("it is a list or a mapping")
        return parameter.process_value(context, value)
    except click.UsageError as error:
        raise DocumentError(
            source, f"options.{name}", error.message, "correct it there, or type the command again"
        ) from None


def job_to_replay(kept: str, recorded: RunCommand) -> Job:
    """The job of a kept run; relative paths hold again as they did, in the directory where it was typed.

    Args:
        kept: the run directory, an absolute path.
        recorded: as it says.

    Raises:
        LaunchError: what it needs is not here.
    """
    try:
        os.chdir(recorded.directory)
    except OSError as error:
        raise LaunchError(
            f"repeat the run in {kept}", f"it began in {recorded.directory}: {error.strerror}", "make that directory"
        ) from None
    job = _with_secrets(recorded.job, kept)
    if job.kind == "executable":
        check_executable(job.program)
    else:
        check_executable(job.python, "the interpreter ")
    for path in (*((job.program,) if job.kind == "script" else ()), *job.libraries.values()):
        if not os.path.exists(path):
            raise LaunchError(f"repeat the run in {kept}", f"there is no {path} any more", "put it back")
    first = "" if job.kind == "executable" else first_of_path(job.python, os.environ)
    return replace(
        job,
        program=_program_here(job),
        runner=_runner_here(job),
        module_path=workers_module_path(),
        path_first=first,
    )


def _program_here(job: Job) -> str:
    """The program of a job that was kept, as it is called now."""
    former = job.program.startswith(_OWN_FORMERLY)
    return OWN_WORKERS + job.program.removeprefix(_OWN_FORMERLY) if former else job.program


def _runner_here(job: Job) -> tuple[str, ...]:
    """The runner of a job that was kept, for the ipexlaunch that runs it now.

    Args:
        job: as it was kept, maybe by an ipexlaunch that lay elsewhere, or one that started its workers by name.

    Raises:
        LaunchError: ipexlaunch lies in an archive.
    """
    if job.runner:
        return (run_script(), *job.runner[1:])
    ours = job.kind == "module" and _program_here(job).startswith(OWN_WORKERS)
    return (run_script(),) if ours else ()


def _with_secrets(job: Job, kept: str) -> Job:
    """The job with the values that were masked when it was kept, from our own variables."""
    assigned, lacking = with_secrets([f"{name}={value}" for name, value in job.environment.items()], os.environ)
    words, more = with_secrets([job.program, *job.arguments], os.environ)
    missing = list(dict.fromkeys([*lacking, *more]))
    if missing:
        raise LaunchError(
            f"repeat the run in {kept}",
            f"it was kept without its secrets: {', '.join(missing)}",
            f"set {'them' if len(missing) > 1 else 'it'} in the environment, or type the command again",
        )
    variables = (word.partition("=") for word in assigned)
    environment = {name: value for name, _, value in variables}
    return replace(job, program=words[0], arguments=words[1:], environment=environment)


def tell_changes(kept: str, job: Job) -> None:
    """Say what is not as it was when the run was kept; call it once nothing stands against the start.

    Args:
        kept: the run directory.
        job: as `job_to_replay` gave it.
    """
    for line in _changes(read_environment(kept), job):
        tell(line)


def _changes(kept: Mapping[str, Any], job: Job) -> Iterator[str]:
    """The differences from the kept run, a line each; none where that run did not finish."""
    if not kept:
        return
    if kept.get("kernel") not in (None, os.uname().release):
        yield f"the kernel was {kept['kernel']} and is {os.uname().release}"
    yield from _changed("variables", mask_variables(kept.get("variables", {})), kept_variables(os.environ))
    if kept.get("python") and job.kind != "executable":
        yield from _changed("packages", kept["python"]["packages"], interpreter_row(job.python)["packages"])


def _changed(what: str, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    changes = [f"{name} was {before.get(name, 'absent')} and is {now.get(name, 'absent')}" for name in names]
    if changes:
        more = f" and {len(changes) - CHANGES_SHOWN} more" if len(changes) > CHANGES_SHOWN else ""
        yield f"other {what} than then: {'; '.join(changes[:CHANGES_SHOWN])}{more}"
