"""How the launcher starts programs of its own in the workers' interpreter: by the place of their files.

Nothing there is looked up by name: not in the current folder, not on PYTHONPATH, not among what the interpreter has
installed. So workers run the code of the launcher that started them.

The job of the built-in worker with a model: what the options say of it, found readable, and measured where asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ipexlaunch
from ipexlaunch.cli.options import JobOptions, ModelOptions, ScriptOptions
from ipexlaunch.cli.options.checked_command import check_settled
from ipexlaunch.cli.options.run_options import SCRIPT_DTYPES
from ipexlaunch.cli.run.know_model import task_of
from ipexlaunch.cli.run.make_job import job_from_options, refuse_old_python
from ipexlaunch.cli.run.measuring_run import run_measuring
from ipexlaunch.cli.terminal import tell
from ipexlaunch.errors import LaunchError, RequestError, UsageError
from ipexlaunch.launch.job import Job
from ipexlaunch.machine.topology import Topology
from ipexlaunch.models.engines.candidate import Dtype, QuantizedForm, floating
from ipexlaunch.models.engines.choose import Choice
from ipexlaunch.models.engines.expectations import ABSENT, expect
from ipexlaunch.models.engines.instruction_sets import EVERYTHING, dispatch
from ipexlaunch.models.engines.model_job import Device, ModelJob, is_random
from ipexlaunch.models.scripts.runner_arguments import DEFAULT_WARMUP_CALLS, IPEX_DTYPES
from ipexlaunch.models.scripts.runner_arguments import ScriptOptions as RunnerOptions
from ipexlaunch.models.user_directory import cache_directory
from ipexlaunch.plan import Plan
from ipexlaunch.tune.dtypes import Resolved, make_measure_context, resolve_candidate
from ipexlaunch.tune.dtypes.context import installed_software

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
    """The words of models/run_script.py, by its path, that stand before a program whose calls it counts or optimises.

    Args:
        job: the program.
        topology: the machine that it runs on.
        options: of the command.
        dtype: what --auto-ipex is to run in; None where nothing is said.

    Raises:
        RequestError: a dtype that --auto-ipex has not, or that this processor has no kernel for.
        LaunchError: the workers' interpreter has no IPEX, or ipexlaunch lies in an archive.
    """
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
    expected = expect(floating("ipex", numbers), flags, installed_software(job.python))  # type: ignore[arg-type]
    if expected.fares == "unavailable":
        hint = f"{'or ' * (ABSENT in expected.reason)}name another interpreter with --python"
        raise LaunchError(f"run with --auto-ipex in {job.python}", expected.reason, hint)
    if expected.fares == "slow" and not force:
        raise RequestError(
            f"run in {dtype}",
            f"slower than fp32 here: {expected.reason} ({expected.source})",
            "use --dtype fp32, or --force-dtype",
        )


FLOATING = ("fp32", "bf16", "fp16")


def model_job(model: str, options: ModelOptions, batch_size: int, **more: Any) -> ModelJob:
    """The job that the options describe, but for the candidate.

    Args:
        model: a transformers directory, or random:NAME.
        options: of the command.
        batch_size: inputs of a call, at most.
        more: fields of the job that only one of the commands knows.

    Raises:
        RequestError: the model or the checkpoint is not there.
        UsageError: an option says nothing of this model's task, or changes nothing.
    """
    task = options.task or task_of(model)
    check_settled(task=task)
    if options.seed is not None and not (is_random(model) or more.get("text") == ""):
        raise UsageError("--seed changes nothing: the weights are the model's and the texts are given; leave it out")
    if not options.checkpoint:
        _check_weights(model)
    return ModelJob(
        model=model if is_random(model) else os.path.abspath(model),
        task=task,
        batch_size=batch_size,
        input_tokens=options.input_tokens,
        new_tokens=options.new_tokens,
        checkpoint=path_of(options.checkpoint, "read the checkpoint"),
        seed=options.seed or 0,
        cache="" if options.no_cache else _cache_directory(options.cache_dir),
        cache_limit_bytes=options.cache_limit,
        check=not options.no_check,
        min_cosine=options.min_cosine,
        **more,
    )


def _check_weights(model: str) -> None:
    """Find out before a worker is started that a directory has no weights; the worker says what else is wrong."""
    if is_random(model) or any(name.endswith(".safetensors") for name in os.listdir(model)):
        return
    hint = "write them with transformers' save_pretrained(DIR, safe_serialization=True)"
    raise RequestError(f"load the model {model}", "it has no weights (*.safetensors)", hint)


def path_of(path: str, wanted: str) -> str:
    """The absolute path of a file that must be there and readable; "" for none."""
    if not path:
        return ""
    try:
        with open(path, "rb"):
            return os.path.abspath(path)
    except FileNotFoundError:
        raise RequestError(f"{wanted} {path}", "there is no such file", "give one that can be read") from None
    except OSError as error:
        found = (error.strerror or str(error)).lower()
        raise RequestError(f"{wanted} {path}", found, "give a file that can be read") from None


def text_of(path: str) -> str:
    """The absolute path of a text with at least one line that is not empty; "" for none.

    Args:
        path: of the file.

    Raises:
        RequestError: it cannot be read, is not UTF-8, or is empty.
    """
    found = path_of(path, "read the text")
    try:
        if path and not any(map(str.strip, _lines_of(path))):
            raise RequestError(f"use the text {path}", "it has no line with text", "give one input a line")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"use the text {path}", f"it is not UTF-8 ({error.reason})", "convert it: iconv -t UTF-8"
        ) from None
    return found


def _lines_of(path: str) -> Iterator[str]:
    """The lines of a file of UTF-8."""
    with open(path, encoding="utf-8") as file:
        yield from file


def _cache_directory(asked: str | None) -> str:
    return os.path.abspath(asked) if asked else os.path.join(os.path.dirname(cache_directory(os.environ)), "compiled")


def resolved(job: ModelJob, program: Job, plan: Plan, topology: Topology, options: ModelOptions) -> Resolved:
    """The job with the candidate that runs, measured on this host where that is asked for.

    Args:
        job: with any candidate.
        program: its worker.
        plan: the instances.
        topology: the machine.
        options: of the command.

    Raises:
        IpexLaunchError: no candidate of that kind runs here.
        UsageError: options that exclude each other.
    """
    if plan.request.device is not None:
        return _on_accelerator(job, plan.request.device, options)
    measure_context = make_measure_context(
        topology, plan, program, os.environ, tell, use_cache=not options.no_cache, run=run_measuring
    )
    form, force = form_from_options(options), options.force_dtype
    return resolve_candidate(job, options.engine, options.dtype, measure_context, form=form, force=force)


def tell_choice(choice: Choice) -> None:
    """Say what runs and why, and which accuracy bound it keeps."""
    tell(f"{choice.candidate.name}: {choice.why}")
    if choice.kept:
        tell(f"{choice.candidate.name}: {choice.kept}")


def form_from_options(options: ModelOptions) -> QuantizedForm:
    """How the options ask for integers to be used."""
    return QuantizedForm(scheme=options.quantization, group_size=options.group_size, lowp_mode=options.lowp_mode or "")


def _on_accelerator(job: ModelJob, device: Device, options: ModelOptions) -> Resolved:
    """The job on an accelerator: nothing is measured beforehand, and torch runs it as it is."""
    engine, dtype = options.engine, options.dtype
    if engine not in ("auto", "eager"):
        raise RequestError(f"run engine {engine} on {device}", "only eager torch runs there", "use --engine eager")
    if dtype not in ("auto", *FLOATING):
        raise RequestError(
            f"run {dtype} on {device}", f"{', '.join(FLOATING)} run there", "quantise in a script of your own"
        )
    candidate = floating("eager", "bf16" if dtype == "auto" else dtype)  # type: ignore[arg-type]  # one of FLOATING
    why = f"on {device} nothing is measured beforehand" + ("; its matrix units are for bf16" * (dtype == "auto"))
    return Resolved(
        job=replace(job, candidate=candidate, device=device), choice=Choice(candidate=candidate, why=why), known=()
    )
