"""The options of `ipexlaunch run` beyond those of the planner: its own, and those of ipexrun and run_cpu."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import click

from ipexlaunch.cli.options.live_options import LIVE_OPTIONS
from ipexlaunch.cli.options.option_types import MEGABYTES, PORT, SECONDS, SECONDS_FROM_0, SHARE
from ipexlaunch.launch.throughput_regex import LineRule, read_rule
from ipexlaunch.measure.disturbance import LOST_TIME_ALLOWED

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _line_rule(_context: click.Context, _parameter: click.Parameter, text: str | None) -> LineRule | None:
    """The rule of --throughput-regex; an expression that is none is refused before anything else is looked at."""
    if text is None:
        return None

    return read_rule(text)


def _failure_words(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    """The words of --on-failure, refused where they are none."""
    on_failure(text)
    return text


def _name_prefix(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    """The value of --log-file-prefix, refused where it is a path."""
    if "/" in text:
        raise click.UsageError(f"--log-file-prefix is the beginning of a name, not a path: {text!r}; use --log-dir")
    return text


OWN = (
    click.option("--python", metavar="PATH", help="Interpreter of the workers  [default: the active environment's]."),
    click.option("-m", "--module", is_flag=True, help="PROGRAM is a module, as in `python -m`."),
    click.option("--no-python", is_flag=True, help="PROGRAM is any executable; do not put an interpreter before it."),
    click.option("--env", multiple=True, metavar="NAME=VALUE", help="Variable for the workers (repeatable)."),
    click.option("--plan", "plan_file", metavar="FILE", help="Run the plan in FILE instead of making one."),
    click.option("--any-machine", is_flag=True, help="Run a plan that was made for another machine."),
    click.option("--dry-run", is_flag=True, help="Print one shell line per instance and start nothing."),
    click.option("--topology", metavar="SRC", help="With --dry-run: plan for this machine instead of the live one."),
    click.option(
        "--throughput-regex",
        metavar="REGEX",
        callback=_line_rule,
        help="Count work in what the program prints: a group items, total, item or rate, perhaps tokens.",
    ),
    click.option("--report", "report_file", metavar="FILE", help="Write the report as JSON."),
    click.option("--run-dir", metavar="DIR", help="Keep everything about the run in DIR; --replay DIR repeats it."),
    click.option("--log-dir", metavar="DIR", help="Keep each worker's output in a file of its own."),
    click.option(
        "--log-file-prefix",
        default="run",
        show_default=True,
        callback=_name_prefix,
        help="How the names of those files begin.",
    ),
    click.option("--strict", is_flag=True, help="Refuse to run where memory cannot be bound as planned."),
    click.option(
        "--local-pages",
        type=SHARE,
        default=0.95,
        show_default=True,
        metavar="SHARE",
        help="Share of a worker's anonymous memory that must be on its nodes for a VALID run.",
    ),
    click.option(
        "--ready-timeout",
        type=SECONDS,
        metavar="SECONDS",
        help="Stop when a worker is not ready by then; compilation does not count.",
    ),
    click.option(
        "--compile-timeout",
        type=SECONDS,
        metavar="SECONDS",
        help="Stop when a worker compiles, or waits for a compilation, for so long.",
    ),
    click.option(
        "--timeout",
        type=SECONDS,
        metavar="SECONDS",
        help="Stop when the run has not ended by then.",
    ),
    click.option(
        "--grace",
        type=SECONDS_FROM_0,
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="Time between asking workers to end and killing them.",
    ),
    click.option(
        "--stagger",
        type=SECONDS_FROM_0,
        default=0.0,
        metavar="SECONDS",
        help="Time between the start of one worker and the next  [default: all at once].",
    ),
    click.option(
        "--proof-interval",
        type=SECONDS_FROM_0,
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="How often running workers' cpus and memory are read back; 0: after warm-up and at the end only.",
    ),
    click.option("--timestamps", is_flag=True, help="Put the time before each line of output."),
    click.option(
        "--log-max-mb",
        type=MEGABYTES,
        metavar="MB",
        help="Begin a log file anew at this size (the former one is kept as .1).",
    ),
    click.option(
        "--port",
        type=PORT,
        default=29500,
        show_default=True,
        help="What {port} is for instance 0; one more for each further one.",
    ),
)

COMPATIBLE = (
    click.option(
        "--memory-allocator",
        type=click.Choice(["auto", "default", "tcmalloc", "jemalloc"]),
        default="auto",
        show_default=True,
        help="Preload this allocator; auto takes tcmalloc, then jemalloc, if found.",
    ),
    click.option(
        "--omp-runtime",
        type=click.Choice(["auto", "default", "intel"]),
        default="auto",
        show_default=True,
        help="Preload Intel's OpenMP runtime; auto if found.",
    ),
    click.option(
        "--multi-task-manager",
        type=click.Choice(["auto", "numactl", "taskset", "none"]),
        default="auto",
        show_default=True,
        help="auto, numactl: bind cpus and memory; taskset: cpus only; none: nothing.",
    ),
    click.option("--benchmark", is_flag=True, help="Preload jemalloc with settings that never return memory."),
    click.option("--enable-tcmalloc", is_flag=True, hidden=True),
    click.option("--enable-jemalloc", is_flag=True, hidden=True),
    click.option("--use-default-allocator", is_flag=True, hidden=True),
    click.option("--disable-iomp", is_flag=True, hidden=True),
    click.option("--disable-numactl", is_flag=True, hidden=True),
    click.option("--disable-taskset", is_flag=True, hidden=True),
    click.option("--multi-instance", is_flag=True, hidden=True),
    click.option("--log-path", metavar="DIR", hidden=True),
)
"""Those of ipexrun, then (hidden) those of torch.backends.xeon.run_cpu that are spelled otherwise."""

ABSENT = {
    "--nnodes": "one host",
    "--nprocs-per-node": "one host",
    "--ccl-worker-count": "one host",
    "--logical-cores-for-ccl": "one host",
    "--master-addr": "one host",
    "--master-port": "one host",
    "--hostfile": "one host",
    "--extra-mpi-params": "one host",
}
"""Options of ipexrun that are not there, and which of the reasons below says so."""

REASONS = {
    "one host": "ipexlaunch runs on one host; start it once per host, with srun or mpirun --map-by ppr:1:node",
}


def explain_absent(message: str) -> str:
    """A parser's complaint about an option, with the way that leads on where ipexrun had it and we have not."""
    for option, reason in ABSENT.items():
        if f"'{option}'" in message.replace("_", "-"):
            return f"no option '{option}': {REASONS[reason]}"
    return message


def run_options(function: Decorated) -> Decorated:
    """Add every option of `run` that is not the planner's."""
    on_failure = click.option(
        "--on-failure",
        callback=_failure_words,
        default="stop",
        show_default=True,
        metavar="stop|continue|restart[:N]",
        help="What a worker's failure does; restart tries it N times again (3), with growing waits.",
    )
    stall = click.option(
        "--stall-timeout", type=SECONDS, metavar="SECONDS", help="Stop when a worker counts nothing for so long."
    )
    return _with(function, (_lost_time(LOST_TIME_ALLOWED), on_failure, stall))


def run_options_where_fed(lost_time: float) -> Callable[[Decorated], Decorated]:
    """The same for a command that gives the workers items, and restarts them as long as there are any.

    Args:
        lost_time: the default of --lost-time.
    """
    stall = click.option(
        "--stall-timeout",
        type=SECONDS,
        default=STALL_TIMEOUT_S,
        show_default=True,
        metavar="SECONDS",
        help="A worker that has a batch for so long is killed; others do it.",
    )
    on_failure = click.option("--on-failure", default="stop", hidden=True)  # refused, with the reason
    return lambda function: _with(function, (_lost_time(lost_time), on_failure, stall))


def _with(function: Decorated, more: Sequence[Callable[[Any], Any]]) -> Decorated:
    for option in reversed((*OWN, *more, *LIVE_OPTIONS, *COMPATIBLE)):
        function = option(function)
    return function


STALL_TIMEOUT_S = 600.0
"""Where --stall-timeout is not given and items are: the run must not hang for ever on a worker that was stopped."""

LOST_TIME_VARIABLE = "IPEXLAUNCH_LOST_TIME"


def _lost_time(default: float) -> Callable[[Any], Any]:
    """--lost-time, which says in --help what holds here and now."""
    given = os.environ.get(LOST_TIME_VARIABLE)
    now = f"default: {default:g}" if not given else f"default: {given}, of {LOST_TIME_VARIABLE}"
    return click.option(
        "--lost-time",
        type=SHARE,
        default=default,
        envvar=LOST_TIME_VARIABLE,
        metavar="SHARE",
        help=f"Share of the workers' cpu time that others, a quota or the hypervisor may take in a VALID run  [{now}].",
    )


def allocator(options: Mapping[str, Any]) -> str:
    """Which allocator is asked for: auto, default, tcmalloc or jemalloc, which is what --benchmark is about.

    Raises:
        UsageError: two options ask for different ones.
    """
    flags = {"enable_tcmalloc": "tcmalloc", "enable_jemalloc": "jemalloc", "use_default_allocator": "default"}
    asked = {name: f"--{flag.replace('_', '-')}" for flag, name in flags.items() if options[flag]}
    if options["memory_allocator"] != "auto":
        asked.setdefault(options["memory_allocator"], f"--memory-allocator {options['memory_allocator']}")
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(asked.values())} exclude each other; give one of them")
    return next(iter(asked), "jemalloc" if options["benchmark"] else "auto")


def on_failure(text: str) -> tuple[Literal["stop", "continue", "restart"], int]:
    """What a failure does, and how often a worker is restarted.

    Raises:
        UsageError: it is none of the words.
    """
    word, colon, number = text.partition(":")
    if word == "restart" and (not colon or (re.fullmatch("[0-9]{1,9}", number) and int(number) > 0)):
        return "restart", int(number) if colon else DEFAULT_RESTARTS
    if text in ("stop", "continue"):
        return ("stop" if text == "stop" else "continue"), 0
    raise click.UsageError(f"--on-failure takes stop, continue, restart or restart:N (N from 1), not {text!r}")


DEFAULT_RESTARTS = 3


def task_manager(options: dict[str, Any]) -> str:
    """What is bound: both ("auto"), cpus only ("taskset"), or nothing ("none")."""
    asked: str = options["multi_task_manager"]
    if options["disable_numactl"] and asked in ("auto", "taskset"):
        return "none" if options["disable_taskset"] else "taskset"
    return "auto" if asked == "numactl" else asked
