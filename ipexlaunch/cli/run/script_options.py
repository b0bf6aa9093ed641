"""The options of `run` for scripts that know nothing of ipexlaunch, and our program that then runs the script."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from ipexlaunch.cli.options.option_types import COUNT_FROM_0
from ipexlaunch.cli.run.built_in_workers import run_script
from ipexlaunch.cli.run.make_job import refuse_old_python
from ipexlaunch.errors import LaunchError, RequestError
from ipexlaunch.launch.job import Job
from ipexlaunch.machine.topology import Topology
from ipexlaunch.models.engines.candidate import Dtype, floating
from ipexlaunch.models.engines.expectations import expect
from ipexlaunch.models.engines.instruction_sets import EVERYTHING, dispatch
from ipexlaunch.models.scripts.runner_arguments import DEFAULT_WARMUP_CALLS, IPEX_DTYPES, ScriptOptions
from ipexlaunch.tune.dtypes.installed_packages import software_of

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

DTYPES: dict[str, str] = {
    "fp32": "fp32",
    "bf16": "bf16",
    "fp16": "fp16",
    "float32": "fp32",
    "bfloat16": "bf16",
    "float16": "fp16",
    "int8": "int8",
    "int4": "int4",
}
"""Ours, then ipexrun's words for them, then those that are refused with what would work."""

_OPTIONS = (
    click.option(
        "--count-calls", is_flag=True, help="A rate for a script that counts nothing: count the calls of its model."
    ),
    click.option(
        "--warmup-calls",
        type=COUNT_FROM_0,
        metavar="N",
        help="With --count-calls: as many warm-up calls as the script makes; the common start comes at their end  "
        "[default: the first call of each model is its warm-up].",
    ),
    click.option("--auto-ipex", is_flag=True, help="Have IPEX optimise the models that the script calls."),
    click.option(
        "--disable-ipex-graph-mode", is_flag=True, help="With --auto-ipex: do not record graphs of the models."
    ),
    click.option("--auto-ipex-verbose", is_flag=True, help="With --auto-ipex: print a profile of one call."),
)
"""The words of ipexrun where it has them."""

_DTYPE_OPTIONS = (
    click.option(
        "--dtype",
        type=click.Choice(list(DTYPES)),
        metavar="fp32|bf16|fp16",
        help="With --auto-ipex: the numbers to run in  [default: fp32].",
    ),
    click.option("--force-dtype", is_flag=True, help="Run the asked dtype though this processor has no kernel for it."),
)


def script_options(function: Decorated) -> Decorated:
    """Add these options to a command."""
    for option in reversed((*_OPTIONS, *_DTYPE_OPTIONS)):
        function = option(function)
    return function


def script_options_beside_a_models(function: Decorated) -> Decorated:
    """Add these options to a command that has --dtype and --force-dtype for models already."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def script_runner(job: Job, topology: Topology, options: dict[str, Any]) -> tuple[str, ...]:
    """The words of models/run_script.py, by its path, that stand before the program; () where nothing is asked of it.

    Args:
        job: the program.
        topology: the machine that it runs on.
        options: those of `run`.

    Raises:
        RequestError: a dtype that --auto-ipex has not, or that this processor has no kernel for.
        LaunchError: the workers' interpreter has no IPEX, or ipexlaunch lies in an archive.
    """
    if not (options["count_calls"] or options["auto_ipex"]):
        return ()

    refuse_old_python(job.python, "--auto-ipex" if options["auto_ipex"] else "--count-calls", job.environment)
    asked = asked_of_scripts(options)
    if asked.auto_ipex:
        _check_ipex(job, topology, asked.dtype, options["force_dtype"])
    return (run_script(), *asked.words())


def asked_of_scripts(options: Mapping[str, Any]) -> ScriptOptions:
    """What the options ask of our program that runs a script.

    Args:
        options: those of `run`.
    """
    warmup_calls = options["warmup_calls"]
    return ScriptOptions(
        count_calls=options["count_calls"],
        warmup_calls=DEFAULT_WARMUP_CALLS if warmup_calls is None else warmup_calls,
        start_after_warmup=bool(warmup_calls),
        auto_ipex=options["auto_ipex"],
        dtype=DTYPES[options["dtype"] or "fp32"],
        graph=not options["disable_ipex_graph_mode"],
        verbose=options["auto_ipex_verbose"],
    )


def _check_ipex(job: Job, topology: Topology, dtype: str, force: bool) -> None:
    if dtype not in IPEX_DTYPES:
        raise RequestError(
            f"run a script's models in {dtype} by --auto-ipex",
            f"it converts to {', '.join(IPEX_DTYPES)}",
            f"measure {dtype} with `ipexlaunch bench --engine ipex --dtype {dtype}`, and quantise in the script",
        )
    numbers: Dtype = dtype  # type: ignore[assignment]  # one of IPEX_DTYPES
    # What a made-up machine can do nobody knows: only the software is checked then.
    flags = dispatch(topology.isa or EVERYTHING, {**os.environ, **job.environment})
    expected = expect(floating("ipex", numbers), flags, software_of(job.python))  # type: ignore[arg-type]
    if expected.fares == "unavailable":
        hint = "or name another interpreter with --python" if "pip install" in expected.reason else ""
        raise LaunchError(f"run with --auto-ipex in {job.python}", expected.reason, hint)
    if expected.fares == "slow" and not force:
        raise RequestError(
            f"run in {dtype}",
            f"slower than fp32 here: {expected.reason} ({expected.source})",
            "use --dtype fp32, or --force-dtype",
        )
