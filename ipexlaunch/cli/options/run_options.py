"""The options of `ipexlaunch run` beyond the planner's: its own, those of ipexrun and run_cpu, those for scripts."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from ipexlaunch.cli.options.option_types import (
    COUNT_FROM_0,
    MEGABYTES,
    PORT,
    PORT_OR_FREE,
    SECONDS,
    SHARE,
    Decorated,
    adding,
    failure_words,
    flag,
    line_rule,
    name_prefix,
    seconds,
    valued,
)
from ipexlaunch.measure.validity import LOST_TIME_ALLOWED

env_option = click.option("--env", multiple=True, metavar="NAME=VALUE", help="Variable for the workers (repeatable).")

OWN = (
    valued("--python", "Interpreter of the workers  [default: the active environment's].", metavar="PATH"),
    click.option("-m", "--module", is_flag=True, help="PROGRAM is a module, as in `python -m`."),
    flag("--no-python", "PROGRAM is any executable; do not put an interpreter before it."),
    env_option,
    valued("--plan", "Run the plan in FILE instead of making one.", metavar="FILE", dest="plan_file"),
    flag("--any-machine", "Run a plan that was made for another machine."),
    flag("--dry-run", "Print one shell line per instance and start nothing."),
    valued("--topology", "With --dry-run: plan for this machine instead of the live one.", metavar="SRC"),
    click.option(
        "--throughput-regex",
        metavar="REGEX",
        callback=line_rule,
        help="Count work in what the program prints: a group items, total, item or rate, perhaps tokens.",
    ),
    valued("--report", "Write the report as JSON.", metavar="FILE", dest="report_file"),
    valued(
        "--run-dir",
        "Keep everything about the run in DIR, for report and --replay of `run` and `batch`.",
        metavar="DIR",
    ),
    valued("--log-dir", "Keep each worker's output in a file of its own.", metavar="DIR"),
    click.option(
        "--log-file-prefix",
        default="run",
        show_default=True,
        callback=name_prefix,
        help="How the names of those files begin.",
    ),
    flag(
        "--fix-pinning",
        "Keep ONNX Runtime inside the instance: sessions that are told no number of threads make the instance's.",
    ),
    flag("--strict", "Refuse to run where memory cannot be bound as planned."),
    valued(
        "--confine",
        "Give each worker a cgroup of its own that it cannot leave (cgroup v2); auto: where that is possible.",
        ("no", "auto", "yes"),
        "no",
    ),
    valued(
        "--share-start",
        "Fork the workers of a node from one process that has imported their packages, or prepared their model  "
        "[default: no; model where ipexlaunch runs the model].",
        ("no", "imports", "model"),
    ),
    flag("--share-start-strict", "Refuse to run where that is not possible."),
    valued(
        "--local-pages",
        "Share of a worker's anonymous memory that must be on its nodes for a VALID run.",
        SHARE,
        0.95,
        metavar="SHARE",
    ),
    seconds("--ready-timeout", "Stop when a worker is not ready by then; compilation does not count."),
    seconds("--compile-timeout", "Stop when a worker compiles, or waits for a compilation, for so long."),
    seconds("--timeout", "Stop when the run has not ended by then."),
    seconds("--grace", "Time between asking workers to end and killing them.", 10.0, zero=True),
    seconds("--stagger", "Time between the start of one worker and the next  [default: all at once].", 0.0, zero=True),
    seconds(
        "--proof-interval",
        "How often running workers' cpus and memory are read back; 0: after warm-up and at the end only.",
        10.0,
        zero=True,
    ),
    flag("--timestamps", "Put the time before each line of output."),
    valued("--log-max-mb", "Start a new log file at this size (the old one is kept as .1).", MEGABYTES, metavar="MB"),
    valued("--port", "What {port} is for instance 0; one more for each further one.", PORT, 29500),
)

_LIVE = (
    flag("--live", "Show each instance while it runs; a line every 10 s without a terminal."),
    valued(
        "--metrics-port",
        "Serve figures to Prometheus on this port (0: one that is free).",
        PORT_OR_FREE,
        metavar="PORT",
    ),
    valued(
        "--metrics-address",
        "Where --metrics-port listens; anybody who reaches it can read the figures.",
        default="127.0.0.1",
        metavar="ADDRESS",
    ),
    valued("--metrics-file", "Write figures for node_exporter's textfile collector every 15 s.", metavar="FILE.prom"),
)


_RUN_CPU_FLAGS = (
    "enable-tcmalloc", "enable-jemalloc", "use-default-allocator", "disable-iomp", "disable-numactl", "disable-taskset",
    "multi-instance",
)  # fmt: skip

COMPATIBLE = (
    valued(
        "--memory-allocator",
        "Preload this allocator; auto takes tcmalloc, then jemalloc, if found.",
        ("auto", "default", "tcmalloc", "jemalloc"),
        "auto",
    ),
    valued("--omp-runtime", "Preload Intel's OpenMP runtime; auto if found.", ("auto", "default", "intel"), "auto"),
    valued(
        "--multi-task-manager",
        "auto, numactl: bind cpus and memory; taskset: cpus only; none: nothing.",
        ("auto", "numactl", "taskset", "none"),
        "auto",
    ),
    flag("--benchmark", "Preload jemalloc with settings that never return memory."),
    *(click.option(f"--{name}", is_flag=True, hidden=True) for name in _RUN_CPU_FLAGS),
    click.option("--log-path", metavar="DIR", hidden=True),
)
"""Those of ipexrun, then (hidden) those of torch.backends.xeon.run_cpu that are spelled otherwise."""

SCRIPT_DTYPES = {
    "fp32": "fp32", "bf16": "bf16", "fp16": "fp16", "float32": "fp32", "bfloat16": "bf16", "float16": "fp16",
    "int8": "int8", "int4": "int4",
}  # fmt: skip
"""Ours, then ipexrun's words for them, then those that are refused with what would work."""

_SCRIPT = (
    flag("--count-calls", "A rate for a script that counts nothing: count the calls of its model."),
    valued(
        "--warmup-calls",
        "With --count-calls: as many warm-up calls as the script makes; the common start comes at their end  "
        "[default: the first call of each model is its warm-up].",
        COUNT_FROM_0,
        metavar="N",
    ),
    flag("--auto-ipex", "Have IPEX optimise the models that the script calls."),
    flag("--disable-ipex-graph-mode", "With --auto-ipex: do not record graphs of the models."),
    flag("--auto-ipex-verbose", "With --auto-ipex: print a profile of one call."),
)
"""The words of ipexrun where it has them."""

_SCRIPT_DTYPE = (
    valued(
        "--dtype",
        "With --auto-ipex: the numbers to run in  [default: fp32].",
        click.Choice(list(SCRIPT_DTYPES)),
        metavar="fp32|bf16|fp16",
    ),
    flag("--force-dtype", "Run the asked dtype though this processor has no kernel for it."),
)

ABSENT = (
    "--nnodes", "--nprocs-per-node", "--ccl-worker-count", "--logical-cores-for-ccl", "--master-addr", "--master-port",
    "--hostfile", "--extra-mpi-params",
)  # fmt: skip
"""Options of ipexrun for several hosts."""


def explain_absent(message: str) -> str:
    """A parser's complaint about an option, with the way that leads on where ipexrun had it and we have not."""
    for option in ABSENT:
        if f"'{option}'" in message.replace("_", "-"):
            way = "start it once per host, with srun or mpirun --map-by ppr:1:node, and --across-hosts for one total"
            return f"no option '{option}': ipexlaunch runs on one host; {way}"
    return message


script_options = adding(*_SCRIPT, *_SCRIPT_DTYPE)
"""Adds those for scripts that know nothing of ipexlaunch."""

script_options_beside_a_models = adding(*_SCRIPT)
"""The same for a command that has --dtype and --force-dtype for models already."""

baseline_option = flag(
    "--baseline", "Run the first instance alone before the others, for the scaling efficiency; takes as long again."
)

profile_option = flag("--profile", "Use what `ipexlaunch tune` found best for this program on this machine.")


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


def run_options(function: Decorated) -> Decorated:
    """Add every option of `run` that is not the planner's."""
    on_failure = click.option(
        "--on-failure",
        callback=failure_words,
        default="stop",
        show_default=True,
        metavar="stop|continue|restart[:N]",
        help="What a worker's failure does; restart tries it N times again (3), with growing waits.",
    )
    stall = seconds("--stall-timeout", "Stop when a worker counts nothing for so long.")
    return adding(*OWN, _lost_time(LOST_TIME_ALLOWED), on_failure, stall, *_LIVE, *COMPATIBLE)(function)


def run_options_where_fed(lost_time: float) -> Callable[[Decorated], Decorated]:
    """The same for a command that gives the workers items, and restarts them as long as there are any.

    Args:
        lost_time: the default of --lost-time.
    """
    text = "A worker that has a batch for so long is killed; others do it."
    stall = seconds("--stall-timeout", text, STALL_TIMEOUT_S)
    on_failure = click.option("--on-failure", default="stop", hidden=True)  # refused, with the reason
    return adding(*OWN, _lost_time(lost_time), on_failure, stall, *_LIVE, *COMPATIBLE)


def run_options_of_servers(lost_time: float) -> Callable[[Decorated], Decorated]:
    """The same for servers, which are restarted whatever they end with, and count nothing.

    Args:
        lost_time: the default of --lost-time.
    """
    refused = (
        click.option("--on-failure", default="stop", hidden=True),
        click.option("--stall-timeout", type=SECONDS, hidden=True),
    )
    return adding(*OWN, _lost_time(lost_time), *refused, *_LIVE, *COMPATIBLE)
