"""How the launcher starts programs of its own in the workers' interpreter: by the place of their files.

Nothing there is looked up by name: not in the current folder, not on PYTHONPATH, not among what the interpreter has
installed. So workers run the code of the launcher that started them.
"""

from __future__ import annotations

import os
from dataclasses import replace

import ipexlaunch
from ipexlaunch.cli.options import JobOptions, ScriptOptions
from ipexlaunch.cli.options.run_options import SCRIPT_DTYPES
from ipexlaunch.cli.run.make_job import job_from_options, refuse_old_python
from ipexlaunch.errors import LaunchError, RequestError
from ipexlaunch.launch.job import Job
from ipexlaunch.machine.topology import Topology
from ipexlaunch.models.engines.candidate import Dtype, floating
from ipexlaunch.models.engines.expectations import expect
from ipexlaunch.models.engines.instruction_sets import EVERYTHING, dispatch
from ipexlaunch.models.scripts.runner_arguments import DEFAULT_WARMUP_CALLS, IPEX_DTYPES
from ipexlaunch.models.scripts.runner_arguments import ScriptOptions as RunnerOptions
from ipexlaunch.tune.dtypes.installed_packages import software_of

_RUN_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(ipexlaunch.__file__)), "models", "run_script.py")


def run_script() -> str:
    """The program of ours that runs a script or a module with our options, by its path.

    Raises:
        LaunchError: this ipexlaunch lies in an archive, of which an interpreter cannot run a file.
    """
    if not os.path.isfile(_RUN_SCRIPT):
        raise LaunchError("start a worker of ipexlaunch", f"there is no file {_RUN_SCRIPT}", "pip install ipexlaunch")
    return _RUN_SCRIPT


def built_in_job(program: str, options: JobOptions) -> Job:
    """The job of a worker of ours.

    Args:
        program: its module's name, e.g. ipexlaunch.models.run_model.
        options: of the command.

    Raises:
        LaunchError: an interpreter or a library to preload is not there, or ipexlaunch lies in an archive.
    """
    return replace(job_from_options(program, (), replace(options, module=True)), runner=(run_script(),))


def script_runner(job: Job, topology: Topology, options: ScriptOptions, dtype: str | None) -> tuple[str, ...]:
    """The words of models/run_script.py, by its path, that stand before the program; () where nothing is asked of it.

    Args:
        job: the program.
        topology: the machine that it runs on.
        options: of the command.
        dtype: what --auto-ipex is to run in; None where nothing is said.

    Raises:
        RequestError: a dtype that --auto-ipex has not, or that this processor has no kernel for.
        LaunchError: the workers' interpreter has no IPEX, or ipexlaunch lies in an archive.
    """
    if not (options.count_calls or options.auto_ipex):
        return ()
    refuse_old_python(job.python, "--auto-ipex" if options.auto_ipex else "--count-calls", job.environment)
    asked = asked_of_scripts(options, dtype)
    if asked.auto_ipex:
        _check_ipex(job, topology, asked.dtype, options.force_dtype)
    return (run_script(), *asked.words())


def asked_of_scripts(options: ScriptOptions, dtype: str | None) -> RunnerOptions:
    """What the options ask of our program that runs a script.

    Args:
        options: of the command.
        dtype: as for `script_runner`.
    """
    warmup_calls = options.warmup_calls
    return RunnerOptions(
        count_calls=options.count_calls,
        warmup_calls=DEFAULT_WARMUP_CALLS if warmup_calls is None else warmup_calls,
        start_after_warmup=bool(warmup_calls),
        auto_ipex=options.auto_ipex,
        dtype=SCRIPT_DTYPES[dtype or "fp32"],
        graph=not options.disable_ipex_graph_mode,
        verbose=options.auto_ipex_verbose,
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
