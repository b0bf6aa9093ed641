"""What `ipexlaunch tune` is about, a program or a model, and what it may try: the machine's splits, and what options
leave open of all else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ipexlaunch.cli.options.model_options import TuneOptions
from ipexlaunch.cli.run.built_in_workers import built_in_job, model_job, resolved, script_runner, tell_choice, text_of
from ipexlaunch.cli.run.choose_preloads import allocator, usable_libraries
from ipexlaunch.cli.run.make_job import job_from_options, launch_from_options
from ipexlaunch.cli.run.prepare_launch import shared_mode
from ipexlaunch.cli.terminal import tell
from ipexlaunch.cli.use_profile import BATCH_SIZE, SECONDS, model_key, program_key, with_batch_size
from ipexlaunch.doctor.worker_variables import ALLOCATORS
from ipexlaunch.errors import UsageError
from ipexlaunch.launch.job import Job, Launch
from ipexlaunch.machine.topology import Topology
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.plan import make_plan
from ipexlaunch.tune.space import AS_IS, Setting, Space, splits_of

WORKER = "ipexlaunch.models.run_model"

MODEL_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
"""For models where nothing is asked for."""

FAST_ENOUGH = 0.8
"""Of the fastest numbers' rate: what is slower in a first measurement will not win with another split."""

MOST_NUMBERS = 3


@dataclass(frozen=True, kw_only=True)
class TuningTarget:
    """What is tuned: a program, or a model."""

    key: str
    """As a profile names it."""
    program: str
    arguments: tuple[str, ...] = ()
    """With templates for what the search sets."""
    model: ModelJob | None = None
    candidates: Mapping[str, Candidate]
    """Of a model, by name."""
    left_out: tuple[str, ...] = ()
    """Of a model: candidates that could not be tried, and why."""

    @property
    def ends_by_itself(self) -> bool:
        """Whether it is told how long to measure."""
        return self.model is not None or any(SECONDS in argument for argument in self.arguments)


def program_to_tune(program: str, arguments: tuple[str, ...], options: TuneOptions) -> TuningTarget:
    """A program, with its options for what the search sets.

    Args:
        program: script, module or executable.
        arguments: as they were typed.
        options: of the command.
    """
    words = [*arguments]
    for option, template in ((options.batch_size_option, BATCH_SIZE), (options.seconds_option, SECONDS)):
        words += [option, template] if option else []
    return TuningTarget(key=program_key(program, options), program=program, arguments=tuple(words), candidates={})


def job_of(subject: TuningTarget, topology: Topology, options: TuneOptions) -> Job:
    """What is started for a setting, but for what the setting says.

    Args:
        subject: what is tuned.
        topology: the machine.
        options: of the command.

    Raises:
        IpexLaunchError: it cannot be started here.
    """
    if subject.model is not None:
        return built_in_job(WORKER, options)
    job = job_from_options(subject.program, subject.arguments, options)
    dtype = None if options.dtype == "auto" else options.dtype  # a script has no choice of its own
    asked = options.count_calls or options.auto_ipex
    return replace(job, runner=script_runner(job, topology, options, dtype)) if asked else job


def space_from_options(topology: Topology, job: Job, subject: TuningTarget, options: TuneOptions) -> Space:
    """Every setting that the options leave open, as far as the libraries for it are installed.

    Args:
        topology: the machine.
        job: the program, for its interpreter.
        subject: what is tuned.
        options: of the command.

    Raises:
        IpexLaunchError: nothing fits what was asked for.
        UsageError: batch sizes for a program that has no way to be told.
    """
    request = options.request
    shares_model = shared_mode(job.program, options) == "model"
    if shares_model:
        # The weights are there once for each node, however many instances it has: a trial tells whether they fit.
        request = replace(request, memory_per_instance_bytes=None)
    numbers = tuple(subject.candidates) or (AS_IS,)
    splits = splits_of(topology, replace(request, memory_policy=None))
    return Space(
        splits=splits,
        batch_sizes=_batch_sizes(numbers, subject.arguments, options),
        numbers=numbers,
        allocators=_allocators(job, options),
        runtimes=_runtimes(job, options),
        memories=("bind", "interleave") if request.memory_policy is None else (request.memory_policy,),
        shares_model=shares_model,
    )


def _batch_sizes(numbers: tuple[str, ...], arguments: tuple[str, ...], options: TuneOptions) -> tuple[int, ...]:
    given = options.batch_sizes
    if numbers != (AS_IS,):
        return given or MODEL_BATCH_SIZES
    takes = any(BATCH_SIZE in argument for argument in arguments)
    if given and not takes:
        raise UsageError(
            "--batch-sizes needs a way to tell the program: --batch-size-option, or {batch_size} among its arguments"
        )
    if takes and not given:
        raise UsageError("the program takes a batch size; say which to try, e.g. --batch-sizes 1,8,32")
    return given or (0,)


def _allocators(job: Job, options: TuneOptions) -> tuple[str, ...]:
    which = allocator(options)
    if which != "auto":
        return (which,)
    found, _, conflicts = usable_libraries(job.python, job.kind, ALLOCATORS)
    return (*(name for name in ALLOCATORS if name in found and name not in conflicts), "default")


def _runtimes(job: Job, options: TuneOptions) -> tuple[str, ...]:
    if options.disable_iomp:
        return ("default",)
    if options.omp_runtime != "auto":
        return (options.omp_runtime,)
    if job.kind == "executable":
        return ("default",)
    return ("intel", "default") if usable_libraries(job.python, job.kind, ("iomp5",))[0] else ("default",)


def model_to_tune(model: str, topology: Topology, options: TuneOptions) -> TuningTarget:
    """A model, with the engines and dtypes that are worth a trial, the fastest first.

    What is not asked for is measured once on the default plan, as `bench` does; of what is right and nearly as fast as
    the fastest, the best few are tried on every split.

    Args:
        model: a transformers directory, or random:NAME.
        topology: the machine.
        options: of the command.

    Raises:
        IpexLaunchError: the model is not there, or nothing of the kind runs here.
    """
    sizes = options.batch_sizes or MODEL_BATCH_SIZES
    size, text = sizes[len(sizes) // 2], text_of(options.text)
    job = model_job(model, options, size, text=text, warmup_batches=options.warmup, seconds=options.seconds)
    worker = built_in_job(WORKER, options)
    plan = make_plan(topology, options.request)
    found = resolved(job, worker, plan, topology, options)
    left_out = found.choice.left_out
    tell_choice(found.choice)
    for line in left_out:
        tell(line)
    best = found.choice.candidate
    chosen = [best]
    right = [each for each in found.known if each.for_auto]
    level = next((each.rate for each in right if each.candidate == best), None)
    if options.dtype == "auto" and level is not None:
        others = [each for each in right if each.candidate != best and each.rate >= FAST_ENOUGH * level]
        others.sort(key=lambda each: -each.rate)
        chosen += [each.candidate for each in others[: MOST_NUMBERS - 1]]
        # Their answers were compared with eager fp32 just now, so no trial needs to do it again.
        job = replace(job, check=False)
    candidates = {each.name: each for each in chosen}
    key = model_key(job.model, job.task)
    return TuningTarget(key=key, program=WORKER, model=job, candidates=candidates, left_out=left_out)


def launch_of(
    subject: TuningTarget, space: Space, topology: Topology, setting: Setting, seconds: float, options: TuneOptions
) -> Launch:
    """The launch of a trial.

    Args:
        subject: what is tuned.
        space: of settings.
        topology: the machine.
        setting: that is tried.
        seconds: of measuring.
        options: of the command.
    """
    chosen = replace(
        options,
        memory_allocator=setting.allocator,
        omp_runtime=setting.runtime,
        enable_tcmalloc=False,
        enable_jemalloc=False,
        use_default_allocator=False,
    )
    job = job_of(subject, topology, chosen)
    if subject.model is not None:
        candidate = subject.candidates[setting.numbers]
        model = replace(subject.model, candidate=candidate, batch_size=setting.batch_size, seconds=seconds)
        job = replace(job, arguments=(model.to_json(),))
    else:
        words = with_batch_size(job.arguments, setting.batch_size, "")
        job = replace(job, arguments=tuple(word.replace(SECONDS, f"{seconds:g}") for word in words))
    return launch_from_options(space.plan_of(setting), job, options)
