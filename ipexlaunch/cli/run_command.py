"""`ipexlaunch run`: plan, launch, supervise, report."""

from __future__ import annotations

import gc
import os
import sys
import time
from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click

from ipexlaunch import __version__
from ipexlaunch.cli.plan_file import plan_from_options
from ipexlaunch.cli.plan_options import plan_options
from ipexlaunch.cli.run_options import allocator, on_failure, run_options, task_manager
from ipexlaunch.cli.workers_python import workers_python
from ipexlaunch.cpulist import format_list
from ipexlaunch.errors import IpexLaunchError, LaunchError
from ipexlaunch.launch import Job, Launch, make_launch, shell_line

if TYPE_CHECKING:
    from ipexlaunch.plan import Instance, Plan
    from ipexlaunch.report import Report
    from ipexlaunch.topology import Topology

MB = 1_000_000

INSTANCES_SHOWN = 8
"""A longer plan is summed up in the start line; `ipexlaunch plan` shows it whole."""


@click.command(
    name="run",
    context_settings={
        "allow_interspersed_args": False,  # what follows PROGRAM is the program's, whatever it looks like
        "token_normalize_func": lambda token: token.replace("_", "-"),  # ipexrun takes --log_dir as well as --log-dir
    },
)
@plan_options
@run_options
@click.argument("program", type=click.UNPROCESSED)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, /, program: str, arguments: tuple[str, ...], **options: Any) -> int:
    """Start one pinned, memory-bound worker per instance, wait for all, and report the throughput.

    PROGRAM is a Python script (a module with -m, any executable with --no-python). In its ARGUMENTS and in --env,
    {index} {count} {cpus} {nodes} {threads} {port} stand for the instance's own.
    """
    plan, topology = _plan(context, options)
    job = _job(program, arguments, options)
    launch = make_launch(_bound_as_asked(plan, task_manager(options)), job, os.environ)
    if options["dry_run"]:
        for worker in launch.workers:
            click.echo(shell_line(worker))
        return 0
    report = _run(launch, topology, options)
    return report.exit_code


def _plan(context: click.Context, options: dict[str, Any]) -> tuple[Plan, Topology]:
    from ipexlaunch.probe.sources import open_topology

    if options["topology"] and not options["dry_run"]:
        raise click.UsageError("--topology describes a machine that is not this one; it goes with --dry-run", context)
    topology = open_topology(options["topology"] or "live")
    return plan_from_options(topology, options, any_machine=options["any_machine"]), topology


def _bound_as_asked(plan: Plan, manager: str) -> Plan:
    """The plan with the binding that --multi-task-manager leaves: both, cpus only, or none."""
    if manager == "auto":
        return plan
    memory_only = [replace(instance, memory="none") for instance in plan.instances]
    if manager == "none":
        memory_only = [replace(instance, cpus=frozenset()) for instance in memory_only]
    return replace(plan, instances=tuple(memory_only))


def _job(program: str, arguments: tuple[str, ...], options: dict[str, Any]) -> Job:
    from ipexlaunch.find_libraries import find_libraries

    if options["module"] and options["no_python"]:
        raise click.UsageError("--module and --no-python exclude each other; give one of them")
    kind = "module" if options["module"] else "executable" if options["no_python"] else "script"
    python = options["python"] or workers_python()
    if kind == "executable":
        _check_executable(program)
    else:
        _check_executable(python, "the interpreter ")
    if kind == "script" and not os.path.exists(program):
        raise LaunchError(
            f"run the script {program!r}",
            "there is no such file",
            _program_hint(program) or "give the path of a script",
        )
    which, runtime = allocator(options), options["omp_runtime"]
    wanted = {"auto": ["tcmalloc", "jemalloc"], "default": []}.get(which, [which])
    if runtime != "default" and not options["disable_iomp"]:
        wanted = ["iomp5", *wanted]
    found = find_libraries(python, os.environ, wanted=wanted)
    for name, asked in (("iomp5", runtime == "intel"), (which, which not in ("auto", "default"))):
        if asked and name not in found:
            raise LaunchError(f"preload {name}", "it is not installed here", LIBRARY_HINTS[name])
    if which == "auto" and "tcmalloc" in found:
        found.pop("jemalloc", None)
    return Job(
        program=program,
        arguments=arguments,
        kind=kind,  # type: ignore[arg-type]  # one of the three words above
        python=python,
        environment=dict(_variable(text) for text in options["env"]),
        libraries=found,
        benchmark=options["benchmark"],
        module_path=os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "worker_path"),
        first_port=options["port"],
    )


LIBRARY_HINTS = {
    "iomp5": "install it into the workers' environment: pip install intel-openmp",
    "tcmalloc": "install it: apt-get install libtcmalloc-minimal4, or conda install gperftools",
    "jemalloc": "install it: apt-get install libjemalloc2, or conda install jemalloc",
}


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--env takes NAME=VALUE, not {text!r}")
    return name, value


def _check_executable(program: str, what: str = "") -> None:
    candidates = [program] if "/" in program else [os.path.join(part, program) for part in os.get_exec_path()]
    if any(os.path.isfile(path) and os.access(path, os.X_OK) for path in candidates):
        return
    there = next((path for path in candidates if os.path.exists(path)), None)
    if there is not None:
        raise LaunchError(f"run {what}{program!r}", f"{there} is not an executable file", f"chmod +x {there}")
    where = "there is no such file" if "/" in program else "it is not on PATH"
    raise LaunchError(f"run {what}{program!r}", where, "give the path of a program that is there")


def _program_hint(program: str) -> str:
    """What was probably meant where the script does not exist."""
    import difflib

    from ipexlaunch.cli.main import COMMANDS

    close = difflib.get_close_matches(program, COMMANDS, n=1)
    if close:
        return f"did you mean `ipexlaunch {close[0]}`?"
    directory = os.path.dirname(program) or "."
    names = os.listdir(directory) if os.path.isdir(directory) else []
    close = difflib.get_close_matches(os.path.basename(program), names, n=1)
    return f"did you mean {os.path.join(os.path.dirname(program), close[0])}?" if close else ""


def _run(launch: Launch, topology: Topology, options: dict[str, Any]) -> Report:
    from ipexlaunch.bind import adopt_orphans, held_to
    from ipexlaunch.cli.live_options import log_directory, open_views
    from ipexlaunch.count_oom_kills import count_oom_kills
    from ipexlaunch.lifecycle import Limits
    from ipexlaunch.supervise import LONG_PHASE_S, Means, Showing, supervise

    mode, restarts = on_failure(options["on_failure"])
    limits = Limits(
        grace_s=options["grace"],
        ready_timeout_s=options["ready_timeout"],
        timeout_s=options["timeout"],
        compile_timeout_s=options["compile_timeout"],
        stall_timeout_s=options["stall_timeout"],
        stagger_s=options["stagger"],
        on_failure=mode,
        restarts=restarts,
    )
    options["log_dir"] = log_directory(options)
    logs = _log_paths(launch, options)
    _check_writable(options["report_file"])
    views = open_views(launch.job.program, launch.job.arguments, len(launch.workers), options, _tell)
    for line in _start_lines(launch, topology):
        _tell(line)
    means = Means(
        hold=lambda cpus, policy, nodes: held_to(cpus, policy, nodes, strict=options["strict"]),
        inspect=lambda pid: _eye().inspector(pid),
        glance=lambda pid: _eye().inspector.glance(pid),
        descendants=lambda pid: _eye().descendants(pid),
        oom_kills=count_oom_kills,
        tell=views.tell,
    )
    showing = Showing(
        outputs=views.outputs,
        logs=logs,
        largest_log_bytes=int(options["log_max_mb"] * MB) if options["log_max_mb"] else None,
        stamp=_stamp if options["timestamps"] else None,
        long_phase_s=None if options["live"] else LONG_PHASE_S,
    )
    adopt_orphans()
    gc.freeze()  # __main__ put collection off; what start-up has made stays, and is never looked at again
    gc.enable()
    interval = options["proof_interval"] or None
    run = supervise(launch, means, os.environ, limits, showing, views.watchers, interval)
    from ipexlaunch.report import aggregate  # here, where no worker waits for the import

    report = aggregate(run, _provenance(launch, topology), options["local_pages"])
    _show(report, options["report_file"])
    return report


@lru_cache(maxsize=1)
def _eye() -> SimpleNamespace:
    """What looks at workers, imported when the first is looked at: until then they need not wait for it."""
    from ipexlaunch.inspect_placement import Inspector, descendants

    return SimpleNamespace(inspector=Inspector(), descendants=descendants)


def _start_lines(launch: Launch, topology: Topology) -> list[str]:
    instances, idle = _instances(launch), len(launch.plan.idle_cpus)
    sizes = sorted({len({topology.by_cpu[cpu].core for cpu in instance.cpus}) for instance in instances})
    size = "unpinned" if sizes == [0] else f"of {' or '.join(map(str, sizes))} core{'s' * (sizes != [1])}"
    lines = [f"{len(instances)} instance{'s' * (len(instances) != 1)} {size}, {idle} cpu{'s' * (idle != 1)} idle"]
    for instance in instances[:INSTANCES_SHOWN]:
        threads = f"{instance.threads} thread{'s' * (instance.threads != 1)}"
        memory = f"memory {instance.memory} {format_list(instance.nodes)}".rstrip()
        lines.append(f"[{instance.index}] cpus {format_list(instance.cpus) or 'any'}, {threads}, {memory}")
    if len(instances) > INSTANCES_SHOWN:
        lines.append(f"... and {len(instances) - INSTANCES_SHOWN} more (`ipexlaunch plan` shows all)")
    preloaded = ", ".join(launch.job.libraries.values())
    return [*lines, *([f"preloading {preloaded}"] if preloaded else []), *launch.notes]


def _instances(launch: Launch) -> list[Instance]:
    """Those that are started: all of the plan, or what --instance-idx chose."""
    return [worker.instance for worker in launch.workers]


def _log_paths(launch: Launch, options: dict[str, Any]) -> dict[int, str]:
    directory, prefix = options["log_dir"] or options["log_path"], options["log_file_prefix"]
    if not directory:
        return {}
    if "/" in prefix:
        raise click.UsageError(f"--log-file-prefix is the beginning of a name, not a path: {prefix!r}; use --log-dir")
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise LaunchError(
            f"keep logs in {directory}", str(error.strerror), "give a directory that can be made"
        ) from None
    stamp = time.strftime("%Y%m%d%H%M%S")
    return {i.index: os.path.join(directory, f"{prefix}_{stamp}_instance_{i.index}.log") for i in _instances(launch)}


def _check_writable(path: str | None) -> None:
    """Find out before the run, not after it, that its report cannot be written."""
    if path is None:
        return
    was_there = os.path.exists(path)
    try:
        with open(path, "a"):
            pass
    except OSError as error:
        raise LaunchError(
            f"write the report to {path}", str(error.strerror), "give a path that can be written"
        ) from None
    if not was_there:
        os.unlink(path)  # a run that is killed leaves no empty report


def _provenance(launch: Launch, topology: Topology) -> dict[str, object]:
    return {
        "ipexlaunch": __version__,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "topology": topology.fingerprint,
        "program": [launch.job.program, *launch.job.arguments],
        "python": launch.job.python if launch.job.kind != "executable" else None,
        "preloaded": list(launch.job.libraries.values()),
    }


def _show(report: Report, path: str | None) -> None:
    from ipexlaunch.cli.terminal import showable, wants_color, width_of
    from ipexlaunch.drawings.report_table import report_table

    table = report_table(report, width=width_of(sys.stderr), color=wants_color(sys.stderr))
    sys.stderr.write(showable(table, sys.stderr))
    if path is not None:
        from ipexlaunch.documents.report_document import write_report

        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(write_report(report))
        except OSError as error:
            raise IpexLaunchError(f"write the report to {path}", str(error.strerror)) from None


def _stamp() -> bytes:
    return time.strftime("%H:%M:%S ").encode()


def _tell(text: str) -> None:
    print(f"ipexlaunch: {text}", file=sys.stderr, flush=True)
