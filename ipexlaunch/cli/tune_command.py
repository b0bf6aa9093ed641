"""`ipexlaunch tune`: finds by measuring how a program runs fastest on this machine."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from ipexlaunch.cli.options.check_files import FileCheckedCommand, check_overlaps
from ipexlaunch.cli.options.hold_outputs import outputs_held
from ipexlaunch.cli.options.named_files import Written
from ipexlaunch.cli.options.plan_options import plan_options
from ipexlaunch.cli.options.profile_options import model_key, program_key, with_batch_size
from ipexlaunch.cli.options.run_options import run_options
from ipexlaunch.cli.options.tune_options import rule_from_options, tune_options
from ipexlaunch.cli.run.built_in_workers import built_in_job
from ipexlaunch.cli.run.make_job import job_from_options, launch_from_options
from ipexlaunch.cli.run.script_options import script_options_beside_a_models, script_runner
from ipexlaunch.cli.solo_rate_of_profile import measure_solo
from ipexlaunch.cli.terminal import showable, spoken, wants_color, width_of
from ipexlaunch.cli.tune_space import BATCH_SIZE, SECONDS, candidates_of_model, space_from_options
from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.documents.write_file import check_directory, check_writable
from ipexlaunch.launch.job import Job, Launch
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.machine.probe.sources import open_topology
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.wording import counted
from ipexlaunch.measure.format_number import format_number
from ipexlaunch.measure.report import EXIT_INVALID
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.plan.plan_file import write_plan
from ipexlaunch.report.tables.tuning_table import tuning_text
from ipexlaunch.tune.next_step import Rule
from ipexlaunch.tune.outcome import Outcome, median_rate
from ipexlaunch.tune.profile import Profile
from ipexlaunch.tune.profile_store import former_profile, keep_profile, plan_path, profile_path, study_path, write_whole
from ipexlaunch.tune.run_trial import TrialGround, try_setting
from ipexlaunch.tune.search import search
from ipexlaunch.tune.space import AS_IS, Setting, Space
from ipexlaunch.tune.trial import Tried, by_setting
from ipexlaunch.tune.tuning_file import write_tuning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORKER = "ipexlaunch.models.run_model"

LEAST_TRIAL_S = 120.0
"""A run that has no --timeout may take so long, or a quarter of the budget: then it counts as failed."""


@dataclass(frozen=True, kw_only=True)
class Subject:
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


@click.command(
    name="tune",
    cls=FileCheckedCommand,
    context_settings={
        "allow_interspersed_args": False,
        "token_normalize_func": lambda token: token.replace("_", "-"),
    },
)
@tune_options
@plan_options
@run_options
@script_options_beside_a_models
@click.argument("program", type=click.UNPROCESSED, required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, /, program: str | None, arguments: tuple[str, ...], **options: Any) -> int:
    """Find by measuring how PROGRAM, or a model, runs fastest on this machine.

    Tried are instances, cores of each, SMT siblings, batch size, engine and dtype, allocator, OpenMP runtime and memory
    policy, as far as no option fixes them. The same command goes on where it was interrupted.

    \b
      ipexlaunch tune --model ./all-MiniLM-L6-v2
      ipexlaunch tune --budget 5m --batch-sizes 1,8,32 script.py --batch {batch_size} --seconds {seconds}
    """
    topology = open_topology("live")
    _check_places(topology)
    subject = _subject(context, topology, program, arguments, options)
    job = _job(subject, topology, options)
    numbers = tuple(subject.candidates) or (AS_IS,)
    space = space_from_options(topology, job, numbers, subject.arguments, options)
    return _tune(subject, job, space, topology, options)


def _check_places(topology: Topology) -> None:
    """Find out before anything is measured that what is found could not be kept."""
    from ipexlaunch.tune.optuna_study import require_optuna

    require_optuna()
    for path, what, variable in (
        (study_path(os.environ, ""), "the study", "XDG_STATE_HOME"),
        (profile_path(os.environ, topology.fingerprint, ""), "the profile", "XDG_CONFIG_HOME"),
    ):
        check_directory(os.path.dirname(path), what, f"set {variable} to a directory that can be written")


def _own_places(study: str, profile: str, options: dict[str, Any]) -> list[Written]:
    """The study and the profile, which are no place for the report, the plan or an input."""
    places = {"the study": study, "the profile": profile, "the profile's plan": plan_path(profile)}
    own = [Written(what=what, path=path, kind="file") for what, path in places.items()]
    check_overlaps(options, more_writes=own)
    for each in own:
        check_writable(each.path, each.what, regular=True)
    return own


def _subject(
    context: click.Context, topology: Topology, program: str | None, arguments: tuple[str, ...], options: dict[str, Any]
) -> Subject:
    if options["model"] is not None:
        if program is not None:
            raise click.UsageError("--model has its own program; leave out PROGRAM, or --model", context)
        for name in ("module", "no_python", "count_calls", "auto_ipex"):
            if options[name]:
                raise click.UsageError(f"--{name.replace('_', '-')} is for programs; a model has its own worker")
        model, candidates, left_out = candidates_of_model(topology, WORKER, options)
        key = model_key(model.model, model.task)
        return Subject(key=key, program=WORKER, model=model, candidates=candidates, left_out=left_out)
    if program is None:
        raise click.UsageError("give a PROGRAM, or --model", context)
    words = [*arguments]
    for option, template in ((options["batch_size_option"], BATCH_SIZE), (options["seconds_option"], SECONDS)):
        words += [option, template] if option else []
    return Subject(key=program_key(program, options), program=program, arguments=tuple(words), candidates={})


def _job(subject: Subject, topology: Topology, options: dict[str, Any]) -> Job:
    if subject.model is not None:
        return built_in_job(WORKER, options)
    job = job_from_options(subject.program, subject.arguments, options)
    dtype = None if options["dtype"] == "auto" else options["dtype"]  # a script has no choice of its own
    return replace(job, runner=script_runner(job, topology, {**options, "dtype": dtype}))


def _tune(subject: Subject, job: Job, space: Space, topology: Topology, options: dict[str, Any]) -> int:
    rule = rule_from_options(options)
    path = study_path(os.environ, _study_key(subject, job, space, topology, rule, options))
    with outputs_held(_own_places(path, profile_path(os.environ, topology.fingerprint, subject.key), options)):
        return _search(path, subject, space, rule, topology, options)


def _search(path: str, subject: Subject, space: Space, rule: Rule, topology: Topology, options: dict[str, Any]) -> int:
    from ipexlaunch.tune.optuna_study import open_study

    study = open_study(path, space, fresh=options["fresh"])
    ground = _ground(subject, space, topology, options)
    _tell(f"{counted(len(space), 'setting')} of {counted(len(space.splits), 'split')}, {rule.budget_s:g} s")
    if study.history:
        _tell(f"going on after {counted(len(study.history), 'run')} of former sessions ({path})")
    found = search(space, topology, rule, study, lambda step: try_setting(ground, step), _watch)
    runs = tuple(study.history)
    outcome = Outcome(best=found.best, why=found.why, settings=len(space), runs=runs, left_out=subject.left_out)
    _tell(outcome.why)
    _show(outcome)
    if options["report_file"] is not None:
        _write_report(options["report_file"], outcome)
    if outcome.best is None:
        return EXIT_INVALID
    _keep(subject, outcome.best, outcome.runs, ground, space, topology, options)
    return 0


def _study_key(
    subject: Subject, job: Job, space: Space, topology: Topology, rule: Rule, options: dict[str, Any]
) -> str:
    """Everything that decides over what a run gives; the budget does not, so that more of it goes on."""
    splits = [[split.name, split.smt] for split in space.splits]
    model = replace(subject.model, batch_size=0).to_json() if subject.model else ""
    rule_of_lines = options["throughput_regex"]
    return json.dumps(
        {
            "version": 1,
            "topology": topology.fingerprint,
            "cpus": sorted(topology.allowed_cpus),
            "program": subject.key,
            "arguments": subject.arguments,
            "model": model,
            "python": job.python,
            "variables": dict(sorted(job.environment.items())),
            "runner": job.runner[1:],  # the first is the place of ipexlaunch itself
            "counted_by": rule_of_lines.pattern.pattern if rule_of_lines else "",
            "splits": splits,
            "axes": [[axis.name, list(axis.choices)] for axis in space.axes],
            "seconds": [rule.seconds, rule.short_seconds],
            "exhaustive": rule.exhaustive,
            "latency_limit_ms": options["latency_limit_ms"],
            "local_pages": options["local_pages"],
        },
        sort_keys=True,
    )


def _ground(subject: Subject, space: Space, topology: Topology, options: dict[str, Any]) -> TrialGround:
    return TrialGround(
        launch_of=lambda setting, seconds: _launch(subject, space, topology, setting, seconds, options),
        inherited=os.environ,
        limits=_limits(options),
        cut=not subject.ends_by_itself,
        line_rule=options["throughput_regex"],
        local_share_required=options["local_pages"],
        latency_limit_ms=options["latency_limit_ms"],
    )


def _limits(options: dict[str, Any]) -> Limits:
    return Limits(
        grace_s=options["grace"],
        ready_timeout_s=options["ready_timeout"],
        timeout_s=options["timeout"] or max(LEAST_TRIAL_S, options["budget"] / 4),
        compile_timeout_s=options["compile_timeout"],
        stall_timeout_s=options["stall_timeout"],
        stagger_s=options["stagger"],
    )


def _launch(
    subject: Subject, space: Space, topology: Topology, setting: Setting, seconds: float, options: dict[str, Any]
) -> Launch:
    chosen = {**options, "memory_allocator": setting.allocator, "omp_runtime": setting.runtime}
    chosen |= dict.fromkeys(("enable_tcmalloc", "enable_jemalloc", "use_default_allocator"), False)
    job = _job(subject, topology, chosen)
    if subject.model is not None:
        candidate = subject.candidates[setting.numbers]
        model = replace(subject.model, candidate=candidate, batch_size=setting.batch_size, seconds=seconds)
        job = replace(job, arguments=(model.to_json(),))
    else:
        words = with_batch_size(job.arguments, setting.batch_size, "")
        job = replace(job, arguments=tuple(word.replace(SECONDS, f"{seconds:g}") for word in words))
    return launch_from_options(space.plan_of(setting), job, options)


def _watch(run: Tried, number: int) -> None:
    said = run.trouble or f"{format_number(run.rate or 0)} items/s"
    kind = f"round {run.round}" if run.round else "proposed" if run.proposed else "looking around"
    _tell(f"{number} ({kind}, {run.cost_s:.1f} s) {run.setting.words}: {said}")


def _show(outcome: Outcome) -> None:
    text = tuning_text(outcome, width=width_of(sys.stdout), color=wants_color(sys.stdout))
    sys.stdout.write(showable(text, sys.stdout))
    sys.stdout.flush()


def _write_report(path: str, outcome: Outcome) -> None:
    write_whole(os.path.abspath(path), write_tuning(outcome), "give a path that can be written")


def _keep(
    subject: Subject,
    best: Setting,
    history: Sequence[Tried],
    ground: TrialGround,
    space: Space,
    topology: Topology,
    options: dict[str, Any],
) -> None:
    candidate = subject.candidates.get(best.numbers)
    plan = space.plan_of(best)
    path = profile_path(os.environ, topology.fingerprint, subject.key)
    former = None if options["fresh"] else former_profile(path)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    solo = measure_solo(ground, best, options["seconds"], subject.model is not None, former, now)
    profile = Profile(
        topology=topology.fingerprint,
        program=subject.key,
        arguments=mask_words(subject.arguments),
        batch_size_option=options["batch_size_option"],
        setting=best,
        engine=candidate.engine if candidate else "",
        dtype=candidate.dtype if candidate else "",
        quantization=candidate.scheme if candidate else "",
        rate=median_rate(by_setting(history)[best]),
        runs=len(history),
        written=now,
        solo=solo,
    )
    keep_profile(path, profile, plan)
    _tell(f"best: {best.words}, {format_number(profile.rate)} items/s")
    if solo is not None:
        share = profile.rate / (len(plan.instances) * solo.rate)
        _tell(
            f"one alone: {format_number(solo.rate)} items/s; "
            f"{len(plan.instances)} together are {share:.1%} of as many of that"
        )
    _tell(f"plan: {plan_path(path)}")
    if options["write_plan"] is not None:
        write_whole(os.path.abspath(options["write_plan"]), write_plan(plan), "give a path that can be written")
    again = "bench --profile --model MODEL" if subject.model else "run --profile PROGRAM ARGUMENTS"
    _tell(f"profile: {path}; use it with `ipexlaunch {again}`")


def _tell(text: str) -> None:
    print(f"ipexlaunch: {spoken(text)}", file=sys.stderr, flush=True)
