"""The Job and the Launch of `run`'s words and options."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace

import ipexlaunch
from ipexlaunch.cli import COMMANDS
from ipexlaunch.cli.options import JobOptions, LaunchOptions
from ipexlaunch.cli.options.option_types import workers_python
from ipexlaunch.cli.run.choose_preloads import preload_from_options
from ipexlaunch.errors import LaunchError, UsageError
from ipexlaunch.launch.job import Job, Launch, shell_line
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.preload_libraries import answer_of, lacks_module, python_version
from ipexlaunch.models.user_directory import cache_directory
from ipexlaunch.plan import Plan

OWN_WORKERS = "ipexlaunch.models."

OLDEST_PYTHON = (3, 10)
"""For what of ours runs in a worker beside `ipexlaunch.worker`: as for ipexlaunch itself."""

OLDEST_FOR_SCRIPTS = (3, 6)
"""For `ipexlaunch.worker`."""

FIND_FIXED = "import importlib.util; print(importlib.util.find_spec('onnxruntime'))"
"""Tells whether an interpreter has what --fix-pinning is for."""


def launch_from_options(plan: Plan, job: Job, options: LaunchOptions, notes: tuple[str, ...] = ()) -> Launch:
    """The launch of a job on a plan, with the binding that --multi-task-manager leaves: both, cpus only, or none.

    Args:
        plan: the instances.
        job: the program.
        options: of the command.
        notes: what else is to be said of it.

    Raises:
        RequestError: a variable name of --env is not one.
    """
    if plan.request.device is not None:
        job = replace(job, kernel_cache=_kernel_cache(options))
    bound = _bound_as_asked(plan, _task_manager(options))
    launch = make_launch(bound, job, os.environ)
    return replace(launch, planned=plan, notes=(*launch.notes, *notes))


def show_commands(launch: Launch) -> int:
    """Print what --dry-run does not start, a shell line each; the exit code."""
    for worker in launch.workers:
        print(shell_line(worker))
    return 0


def _kernel_cache(options: LaunchOptions) -> str:
    if options.no_cache:
        return ""
    kept = os.path.abspath(options.cache_dir or os.path.dirname(cache_directory(os.environ)))
    return os.path.join(kept, "kernels")


def _task_manager(options: LaunchOptions) -> str:
    """What is bound: both ("auto"), cpus only ("taskset"), or nothing ("none")."""
    asked = options.multi_task_manager
    if options.disable_numactl and asked in ("auto", "taskset"):
        return "none" if options.disable_taskset else "taskset"
    return "auto" if asked == "numactl" else asked


def _bound_as_asked(plan: Plan, manager: str) -> Plan:
    if manager == "auto":
        return plan
    memory_only = [replace(instance, memory="none") for instance in plan.instances]
    if manager == "none":
        memory_only = [replace(instance, cpus=frozenset()) for instance in memory_only]
    return replace(plan, instances=tuple(memory_only))


def job_from_options(program: str, arguments: tuple[str, ...], options: JobOptions) -> Job:
    """The job that the words and options of `run` ask for; what cannot be started is found out here.

    Args:
        program: script, module or executable.
        arguments: of the program.
        options: of the command.

    Raises:
        LaunchError: a program, an interpreter or a library to preload is not there.
        UsageError: two options exclude each other, or --env is malformed.
    """
    kind = "module" if options.module else "executable" if options.no_python else "script"
    python = options.python or workers_python()
    if kind == "executable":
        check_executable(program)
    else:
        check_executable(python, "the interpreter ")
    if kind == "script":
        _check_script(program)
    variables = variables_of(options.env)
    remarks: tuple[str, ...] = ()
    fix_pinning = options.fix_pinning
    if program.startswith(OWN_WORKERS):
        refuse_old_python(python, "the built-in worker", variables)
    elif kind != "executable":
        if kind == "module":
            _check_module(program, python, variables)
        remarks = _remark_on_python(python, variables)
        if fix_pinning and answer_of((python, "-c", FIND_FIXED), {**os.environ, **variables}) == "None":
            # A script that asks whether there is one must not be told of ours.
            fix_pinning = False
            remarks = (*remarks, f"--fix-pinning has nothing to do: {python} has no onnxruntime")
    preload = preload_from_options(python, kind, options)
    return Job(
        program=program,
        arguments=arguments,
        kind=kind,  # type: ignore[arg-type]  # one of the three words above
        python=python,
        environment=variables,
        libraries=preload.libraries,
        remarks=(*remarks, *preload.remarks),
        path_first="" if kind == "executable" else first_of_path(python, os.environ),
        benchmark=options.benchmark,
        fix_pinning=fix_pinning,
        module_path=workers_module_path(),
        first_port=options.port,
    )


def workers_module_path() -> str:
    """The directory that makes `import ipexlaunch.worker` work in an interpreter that has no ipexlaunch."""
    return os.path.join(os.path.dirname(os.path.abspath(ipexlaunch.__file__)), "worker", "import_path")


def first_of_path(python: str, variables: Mapping[str, str]) -> str:
    """The interpreter's directory where PATH leads its children's `python` elsewhere; "" where it does not.

    Args:
        python: the workers' interpreter, a path or a name on PATH.
        variables: the caller's environment.
    """
    place = shutil.which(python) or python
    directory = os.path.dirname(os.path.abspath(place))
    search = variables.get("PATH", os.defpath)
    for name in dict.fromkeys(("python", "python3", os.path.basename(place))):
        if os.access(os.path.join(directory, name), os.X_OK):
            found = shutil.which(name, path=search)
            if found is None or os.path.dirname(os.path.abspath(found)) != directory:
                return directory
    return ""


def variables_of(texts: Sequence[str]) -> dict[str, str]:
    """The variables that --env names.

    Args:
        texts: NAME=VALUE each.

    Raises:
        UsageError: one is not of this form, or a name is given twice.
    """
    variables: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--env takes NAME=VALUE, not {text!r}")
        if name in variables:
            raise UsageError(f"--env gives {name} twice; give it once")
        variables[name] = value
    return variables


def check_executable(program: str, what: str = "") -> None:
    """Find out before anything starts that a program cannot be executed.

    Args:
        program: its path, or a name that is looked up on PATH.
        what: word before it in the error.

    Raises:
        LaunchError: it is not there, or is not executable.
    """
    candidates = [program] if "/" in program else [os.path.join(part, program) for part in os.get_exec_path()]
    if any(os.path.isfile(path) and os.access(path, os.X_OK) for path in candidates):
        return
    wanted, hint = f"run {what}{program!r}", "give the path of a program that is there"
    there = next((path for path in candidates if os.path.exists(path)), None)
    if there is not None and os.path.isdir(there):
        raise LaunchError(wanted, f"{there} is a directory", hint)
    if there is not None:
        raise LaunchError(wanted, f"{there} is not an executable file", f"chmod +x {there}")
    if "/" in program:
        raise LaunchError(wanted, "there is no such file", hint)
    here = os.path.isfile(program)
    raise LaunchError(
        wanted, "it is not on PATH", f"if the one in this directory is meant: ./{program}" if here else hint
    )


def refuse_old_python(python: str, what: str, variables: Mapping[str, str]) -> None:
    """Find out before anything starts that an interpreter is too old for a program of ours; a script may need less.

    Args:
        python: the workers' interpreter.
        what: the program, for the message.
        variables: the job's own.

    Raises:
        LaunchError: it is too old, or no Python.
    """
    version = python_version(python, {**os.environ, **variables})
    wanted, hint = f"run {what} with {python}", "name another interpreter with --python"
    if version is None:
        raise LaunchError(wanted, "it does not answer as a Python does", hint)
    if version < OLDEST_PYTHON:
        raise LaunchError(wanted, f"it is Python {_dotted(version)}, and {_dotted(OLDEST_PYTHON)} is needed", hint)


def _remark_on_python(python: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """What is to be said of an interpreter in which a script runs, but cannot import anything of ours."""
    version = python_version(python, {**os.environ, **variables})
    if version is None or version >= OLDEST_FOR_SCRIPTS:
        return ()
    needs = f"a script that imports ipexlaunch.worker needs {_dotted(OLDEST_FOR_SCRIPTS)}"
    return (f"{python} is Python {_dotted(version)}; {needs}",)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _check_script(program: str) -> None:
    """Find out before anything starts that the interpreter could not run a script, or a folder with __main__.py."""
    wanted, hint = f"run the script {program!r}", "give the path of a script"
    if not os.path.exists(program):
        raise LaunchError(wanted, "there is no such file", _program_hint(program) or hint)
    script = os.path.join(program, "__main__.py") if os.path.isdir(program) else program
    if not os.path.exists(script):
        raise LaunchError(wanted, "it is a directory without a __main__.py", hint)
    if not os.path.isfile(script):
        raise LaunchError(wanted, "it is no regular file, and every worker would read it", hint)
    if not os.access(script, os.R_OK):
        raise LaunchError(wanted, "it may not be read", f"chmod +r {script}")


def _check_module(program: str, python: str, variables: Mapping[str, str]) -> None:
    """Find out before anything starts that the interpreter has no such module; what answers nothing may have it."""
    lacked = lacks_module(python, program, {**os.environ, **variables})
    if lacked:
        hint = f"install it there, or name another interpreter with --python; a file is named without -m: {program}"
        if not os.path.isfile(program):
            hint = "install it there, say where it lies with --env PYTHONPATH=..., or name another interpreter"
        raise LaunchError(f"run the module {program!r}", f"{python} has no module {lacked}", hint)


def _program_hint(program: str) -> str:
    """What was probably meant where the script does not exist."""
    close = difflib.get_close_matches(program, COMMANDS, n=1)
    if close:
        return f"did you mean `ipexlaunch {close[0]}`?"
    first, _, rest = program.partition(" ")
    if rest and os.path.isfile(first):
        return f"its arguments are words of their own: {first} {rest}, without quotes around all of it"
    directory = os.path.dirname(program) or "."
    names = os.listdir(directory) if os.path.isdir(directory) else []
    close = difflib.get_close_matches(os.path.basename(program), names, n=1)
    return f"did you mean {os.path.join(os.path.dirname(program), close[0])}?" if close else ""
