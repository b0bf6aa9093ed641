"""`ipexlaunch run --replay DIR` and `batch --replay DIR`: job, plan and options of a kept run, for this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from ipexlaunch.cli.options.check_options import check_options
from ipexlaunch.cli.options.named_files import WRITES
from ipexlaunch.cli.run.built_in_workers import program_here, runner_here
from ipexlaunch.cli.run.make_job import check_executable, first_of_path, workers_module_path
from ipexlaunch.cli.terminal import spoken
from ipexlaunch.documents.secret_values import mask_variables, with_secrets
from ipexlaunch.errors import DocumentError, LaunchError
from ipexlaunch.launch.job import Job
from ipexlaunch.report.kept_runs.command import BATCH_OPTIONS, REPLAYED_OPTIONS
from ipexlaunch.report.kept_runs.describe_host import interpreter_row, kept_variables
from ipexlaunch.report.kept_runs.run_files import PLAN, RUN

SETTLED = (
    "plan_file", "python", "module", "no_python", "env", "port", "memory_allocator", "omp_runtime", "benchmark",
    "enable_tcmalloc", "enable_jemalloc", "use_default_allocator", "disable_iomp", "count_calls", "warmup_calls",
    "auto_ipex", "dtype", "force_dtype", "disable_ipex_graph_mode", "auto_ipex_verbose",
    "input_file", "input_format", "delimiter", "quote", "id_field", "text_field", "tokens_field", "max_line_mb",
    "batch_size", "batch_tokens",
    "look_ahead", "keep_order", "on_bad_line", "attempts",
    "model", "input_tokens", "task", "engine", "quantization", "group_size", "lowp_mode", "checkpoint", "new_tokens",
    "seed", "no_check", "cache_dir", "no_cache",
)  # fmt: skip
"""Options that the kept run has decided; another value would be another run."""

BINDING = ("multi_task_manager", "disable_numactl", "disable_taskset")
"""Of these, one that is typed decides over all."""

CHANGES_SHOWN = 5


def job_to_replay(context: click.Context, program: str | None, options: dict[str, Any]) -> Job:
    """The job of the kept run that --replay names; its plan, options and directory take effect as if typed again.

    Options that are typed now win over those of the kept run, where they do not decide what is run.

    Args:
        context: of the command.
        program: what was typed as PROGRAM: nothing, or it is a mistake.
        options: the command's keyword arguments; they are completed here.

    Raises:
        UsageError: something is typed that the kept run decides.
        DocumentError: there is no kept run, or a file of it does not follow its format.
        LaunchError: what it needs is not here.
    """
    from ipexlaunch.report.kept_runs.read_run_directory import read_recorded

    kept = os.path.abspath(options["replay"])
    if program is not None:
        raise click.UsageError(f"--replay repeats the program of {kept}; leave out {program!r}", context)
    for name in SETTLED:
        if _typed(context, name):
            flag = next(parameter.opts[0] for parameter in context.command.params if parameter.name == name)
            raise click.UsageError(f"--replay and {flag} exclude each other: {kept} says it already", context)
    recorded = read_recorded(kept)
    if replaying_command(recorded.command) != context.command.name:
        _refuse(kept, recorded.command)
    if recorded.command == "batch" and "input_file" not in recorded.options:
        noted = "the ipexlaunch that kept it did not note the input"
        raise LaunchError(f"repeat the run in {kept}", noted, "type `ipexlaunch batch` again")
    rebound = any(_typed(context, name) for name in BINDING)
    for name in (*REPLAYED_OPTIONS, *BATCH_OPTIONS):
        if name in recorded.options and not _typed(context, name) and not (rebound and name in BINDING):
            options[name] = _option(context, name, recorded.options[name], os.path.join(kept, RUN))
    check_options(context, options)
    options["replay"], options["plan_file"] = kept, os.path.join(kept, PLAN)
    for name in WRITES:  # relative to where the user is now
        if options.get(name) not in (None, "", "-"):
            options[name] = os.path.abspath(options[name])
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
            raise LaunchError(f"repeat the run in {kept}", f"there is no {path} any more")
    first = "" if job.kind == "executable" else first_of_path(job.python, os.environ)
    return replace(
        job,
        program=program_here(job),
        runner=runner_here(job),
        module_path=workers_module_path(),
        path_first=first,
    )


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
    from ipexlaunch.report.kept_runs.read_run_directory import read_environment

    for line in _changes(read_environment(kept), job):
        print(f"ipexlaunch: {spoken(line)}", file=sys.stderr, flush=True)


def replaying_command(command: str) -> str:
    """The command that repeats a run of this one; "" for none."""
    return {"batch": "batch", "loadgen": ""}.get(command, "run")


def _refuse(kept: str, command: str) -> NoReturn:
    right = {
        "run": f"ipexlaunch run --replay {kept}",
        "batch": f"ipexlaunch batch --replay {kept} --output FILE",
        "": f"type `ipexlaunch {command}` again",
    }[replaying_command(command)]
    raise LaunchError(f"repeat the run in {kept}", f"it was made by `ipexlaunch {command}`", right)


def _typed(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _option(context: click.Context, name: str, value: Any, source: str) -> Any:
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
        raise DocumentError(source, f"options.{name}", error.message) from None


def _changes(kept: Mapping[str, Any], job: Job) -> Iterator[str]:
    """What is not as it was, a line each; nothing where the kept run did not come to its end."""
    if not kept:
        return
    if kept.get("kernel") not in (None, os.uname().release):
        yield f"the kernel was {kept['kernel']} and is {os.uname().release}"
    before, now = mask_variables(kept.get("variables", {})), kept_variables(os.environ)
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    yield from _told("variables", [f"{name} was {_word(before, name)} and is {_word(now, name)}" for name in changed])
    if kept.get("python") and job.kind != "executable":
        old, new = kept["python"]["packages"], interpreter_row(job.python)["packages"]
        changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
        yield from _told("packages", [f"{name} was {_word(old, name)} and is {_word(new, name)}" for name in changed])


def _word(values: Mapping[str, str], name: str) -> str:
    return values.get(name, "absent")


def _told(what: str, changes: list[str]) -> Iterator[str]:
    if changes:
        more = f" and {len(changes) - CHANGES_SHOWN} more" if len(changes) > CHANGES_SHOWN else ""
        yield f"other {what} than then: {'; '.join(changes[:CHANGES_SHOWN])}{more}"
