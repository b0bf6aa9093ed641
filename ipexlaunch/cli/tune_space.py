"""What `ipexlaunch tune` may try: the machine's splits, and what the options leave open of all else."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from ipexlaunch.cli.options.model_options import model_job, resolved, text_of
from ipexlaunch.cli.options.plan_options import request_from_options
from ipexlaunch.cli.options.run_options import allocator
from ipexlaunch.cli.options.tune_options import MODEL_BATCH_SIZES
from ipexlaunch.cli.run.built_in_workers import built_in_job
from ipexlaunch.cli.run.choose_preloads import usable_libraries
from ipexlaunch.doctor.preloads import ALLOCATORS
from ipexlaunch.launch.job import Job
from ipexlaunch.machine.topology import Topology
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.plan import make_plan
from ipexlaunch.tune.space import AS_IS, Space
from ipexlaunch.tune.splits import splits_of

FAST_ENOUGH = 0.8
"""Of the fastest numbers' rate: what is slower in a first measurement will not win with another split."""

MOST_NUMBERS = 3

BATCH_SIZE = "{batch_size}"
SECONDS = "{seconds}"


def space_from_options(
    topology: Topology, job: Job, numbers: tuple[str, ...], arguments: tuple[str, ...], options: dict[str, Any]
) -> Space:
    """Every setting that the options leave open, as far as the libraries for it are installed.

    Args:
        topology: the machine.
        job: the program, for its interpreter.
        numbers: names of the candidates; AS_IS alone for programs.
        arguments: of the program, with the templates.
        options: the command's keyword arguments.

    Raises:
        IpexLaunchError: nothing fits what was asked for.
        UsageError: batch sizes for a program that has no way to be told.
    """
    request = request_from_options(options)
    splits = splits_of(topology, replace(request, memory_policy=None))
    return Space(
        splits=splits,
        batch_sizes=_batch_sizes(numbers, arguments, options),
        numbers=numbers,
        allocators=_allocators(job, options),
        runtimes=_runtimes(job, options),
        memories=("bind", "interleave") if request.memory_policy is None else (request.memory_policy,),
    )


def _batch_sizes(numbers: tuple[str, ...], arguments: tuple[str, ...], options: dict[str, Any]) -> tuple[int, ...]:
    given: tuple[int, ...] | None = options["batch_sizes"]
    if numbers != (AS_IS,):
        return given or MODEL_BATCH_SIZES
    takes = any(BATCH_SIZE in argument for argument in arguments)
    if given and not takes:
        raise click.UsageError(
            "--batch-sizes needs a way to tell the program: --batch-size-option, or {batch_size} among its arguments"
        )
    if takes and not given:
        raise click.UsageError("the program takes a batch size; say which to try, e.g. --batch-sizes 1,8,32")
    return given or (0,)


def _allocators(job: Job, options: dict[str, Any]) -> tuple[str, ...]:
    which = allocator(options)
    if which != "auto":
        return (which,)
    found, _, conflicts = usable_libraries(job.python, job.kind, ALLOCATORS)
    return (*(name for name in ALLOCATORS if name in found and name not in conflicts), "default")


def _runtimes(job: Job, options: dict[str, Any]) -> tuple[str, ...]:
    if options["disable_iomp"]:
        return ("default",)
    if options["omp_runtime"] != "auto":
        return (options["omp_runtime"],)
    if job.kind == "executable":
        return ("default",)
    return ("intel", "default") if usable_libraries(job.python, job.kind, ("iomp5",))[0] else ("default",)


def candidates_of_model(
    topology: Topology, program: str, options: dict[str, Any]
) -> tuple[ModelJob, dict[str, Candidate], tuple[str, ...]]:
    """The job of the model, the engines and dtypes that are worth a trial, the fastest first, and who was left out.

    What is not asked for is measured once on the default plan, as `bench` does; of what is right and nearly as fast as
    the fastest, the best few are tried on every split.

    Args:
        topology: the machine.
        program: the worker.
        options: the command's keyword arguments.

    Raises:
        IpexLaunchError: the model is not there, or nothing of the kind runs here.
    """
    sizes = options["batch_sizes"] or MODEL_BATCH_SIZES
    options = {**options, "batch_size": sizes[len(sizes) // 2]}
    job = model_job(
        options, text=text_of(options["text"]), warmup_batches=options["warmup"],
        seconds=options["seconds"],
    )  # fmt: skip
    worker = built_in_job(program, options)
    plan = make_plan(topology, request_from_options(options))
    found = resolved(job, worker, plan, topology, options)
    left_out = found.choice.left_out
    for line in (f"{found.choice.candidate.name}: {found.choice.why}", *left_out):
        print(f"ipexlaunch: {line}", file=sys.stderr, flush=True)
    best = found.choice.candidate
    measured = [each for each in found.known if each.right and each.candidate != best]
    if options["dtype"] != "auto" or not any(each.candidate == best for each in found.known if each.right):
        return job, {best.name: best}, left_out
    level = next(each.speed or 0.0 for each in found.known if each.candidate == best)
    near = sorted(
        (each for each in measured if (each.speed or 0.0) >= FAST_ENOUGH * level), key=lambda e: -(e.speed or 0)
    )
    chosen = [best, *(each.candidate for each in near[: MOST_NUMBERS - 1])]
    # Their answers were compared with eager fp32 just now, so no trial needs to do it again.
    return replace(job, check=False), {each.name: each for each in chosen}, left_out
