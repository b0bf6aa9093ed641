"""`ipexlaunch tune`: finds by measuring how a program runs fastest on this machine."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import click

from ipexlaunch.cli.options.check_files import WrittenFile, check_overlaps
from ipexlaunch.cli.options.checked_command import checked_command, program_arguments
from ipexlaunch.cli.options.hold_outputs import outputs_held
from ipexlaunch.cli.options.model_options import TuneOptions, tune_options
from ipexlaunch.cli.options.plan_options import options_of, plan_options, this_host
from ipexlaunch.cli.options.run_options import run_options, script_options_beside_a_models
from ipexlaunch.cli.run.know_model import knowing_the_model
from ipexlaunch.cli.run.prepare_launch import with_shared_start
from ipexlaunch.cli.run.run_launch import limits_from_options
from ipexlaunch.cli.terminal import showable, tell, wants_color, width_of
from ipexlaunch.cli.tune_space import (
    TuningTarget,
    job_of,
    launch_of,
    model_to_tune,
    program_to_tune,
    space_from_options,
)
from ipexlaunch.cli.use_profile import measure_solo
from ipexlaunch.doctor.job_engine import troubles_of
from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.documents.visible_text import format_number
from ipexlaunch.documents.write_file import check_directory, check_writable
from ipexlaunch.launch.confine import open_confinement
from ipexlaunch.launch.job import Job
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.wording import counted
from ipexlaunch.measure.report import EXIT_INVALID
from ipexlaunch.plan.plan_file import write_plan
from ipexlaunch.report.tables.tuning_tables import tuning_text
from ipexlaunch.tune.dtypes.quiet_run import run_quietly
from ipexlaunch.tune.next_step import LEAST_RUNS, Rule, brief
from ipexlaunch.tune.optuna_study import open_study, require_optuna
from ipexlaunch.tune.profile import Profile
from ipexlaunch.tune.profile_store import former_profile, keep_profile, plan_path, profile_path, study_path, write_whole
from ipexlaunch.tune.run_trial import TrialContext, run_trial
from ipexlaunch.tune.search import search
from ipexlaunch.tune.space import Setting, Space
from ipexlaunch.tune.trial import Outcome, Trial, by_setting, median_rate, write_tuning

UNWRITABLE = "give a path that can be written"

LEAST_TRIAL_S = 120.0
"""A run that has no --timeout may take so long, or a quarter of the budget: then it counts as failed."""


@checked_command("tune", takes_program=True)
@tune_options
@plan_options
@run_options
@script_options_beside_a_models
@program_arguments
def tune_command(context: click.Context, /, program: str | None, arguments: tuple[str, ...], **values: Any) -> int:
    """Find by measuring how PROGRAM, or a model, runs fastest on this machine.

    Tried are instances, cores of each, SMT siblings, batch size, engine and dtype, allocator, OpenMP runtime and memory
    policy, as far as no option fixes them. The same command goes on where it was interrupted.
    """
    topology = open_topology("live")
    _check_places(topology)
    here = this_host(topology)
    for line in (here.words, *map(str, troubles_of(here))):
        if line:
            tell(line)
    options = knowing_the_model(options_of(TuneOptions, context, values), tuned=True)
    if options.model is not None and program is None:
        subject = model_to_tune(options.model, topology, options)
    elif program is not None and options.model is None:
        subject = program_to_tune(program, arguments, options)
    else:
        both = "--model has its own program; leave out PROGRAM, or --model"
        raise click.UsageError("give a PROGRAM, or --model" if program is None else both, context)
    job = job_of(subject, topology, options)
    space = space_from_options(topology, job, subject, options)
    return _tune(subject, job, space, topology, options)


def _check_places(topology: Topology) -> None:
    """Find out before anything is measured that what is found could not be kept."""
    require_optuna()
    for path, what, variable in (
        (study_path(os.environ, ""), "the study", "XDG_STATE_HOME"),
        (profile_path(os.environ, topology.fingerprint, ""), "the profile", "XDG_CONFIG_HOME"),
    ):
        check_directory(os.path.dirname(path), what, f"set {variable} to a directory that can be written")


def _own_places(study: str, profile: str, options: TuneOptions) -> list[WrittenFile]:
    """The study and the profile, which are no place for the report, the plan or an input."""
    places = {"the study": study, "the profile": profile, "the profile's plan": plan_path(profile)}
    own = [WrittenFile(what=what, path=path, kind="file") for what, path in places.items()]
    check_overlaps(vars(options), more_writes=own)
    for each in own:
        check_writable(each.path, each.what, regular=True)
    return own


def _tune(subject: TuningTarget, job: Job, space: Space, topology: Topology, options: TuneOptions) -> int:
    rule = rule_of(options)
    path = study_path(os.environ, _study_key(subject, job, space, topology, rule, options))
    with outputs_held(_own_places(path, profile_path(os.environ, topology.fingerprint, subject.key), options)):
        return _search(path, subject, space, rule, topology, options)


def _search(
    path: str, subject: TuningTarget, space: Space, rule: Rule, topology: Topology, options: TuneOptions
) -> int:
    if options.confine != "no":  # each trial has its own; this one tells whether that is possible
        confinement, unconfined = open_confinement(options.confine)
        if confinement is not None:
            confinement.close()
        else:
            tell(unconfined)
    study = open_study(path, space, fresh=options.fresh)
    trial_context = _trial_context(subject, space, topology, options)
    tell(f"{counted(len(space), 'setting')} of {counted(len(space.splits), 'split')}, {rule.budget_s:g} s")
    if study.history:
        tell(f"going on after {counted(len(study.history), 'run')} of former sessions ({path})")
    found = search(space, topology, rule, study, lambda step: run_trial(trial_context, step), _watch)
    runs = tuple(study.history)
    outcome = Outcome(best=found.best, why=found.why, settings=len(space), runs=runs, left_out=subject.left_out)
    tell(outcome.why)
    text = tuning_text(outcome, width=width_of(sys.stdout), color=wants_color(sys.stdout))
    print(showable(text, sys.stdout), end="", flush=True)
    if options.report_file is not None:
        write_whole(os.path.abspath(options.report_file), write_tuning(outcome), UNWRITABLE)
    if outcome.best is None:
        return EXIT_INVALID
    if not found.is_searched:
        tell(_unsearched(runs, space))
        return EXIT_INVALID
    _keep(subject, outcome.best, outcome.runs, trial_context, space, topology, options)
    return 0


def _unsearched(runs: Sequence[Trial], space: Space) -> str:
    """That the budget ended before settings were compared, and which one would do."""
    each_s = sum(run.cost_s for run in runs) / len(runs)
    enough = math.ceil(each_s * len(space) * 1.5) if len(space) <= LEAST_RUNS else math.ceil(each_s * LEAST_RUNS)
    tried = f"{len(by_setting(runs))} of {counted(len(space), 'setting')}"
    return (
        f"NOT SEARCHED: the budget ended after {tried}, so nothing is known of the others; no profile and no plan are "
        f"written; the same command with --budget {enough}s or more goes on from here"
    )


def rule_of(options: TuneOptions) -> Rule:
    """How long to look, and how sure to be."""
    return brief(Rule(budget_s=options.budget, exhaustive=options.exhaustive), options.seconds)


def _study_key(
    subject: TuningTarget, job: Job, space: Space, topology: Topology, rule: Rule, options: TuneOptions
) -> str:
    """Everything that decides over what a run gives; the budget does not, so that more of it goes on."""
    splits = [[split.name, split.smt] for split in space.splits]
    model = replace(subject.model.unlimited(), batch_size=0).to_json() if subject.model else ""
    rule_of_lines = options.throughput_regex
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
            "latency_limit_ms": options.latency_limit_ms,
            "local_pages": options.local_pages,
        },
        sort_keys=True,
    )


def _trial_context(subject: TuningTarget, space: Space, topology: Topology, options: TuneOptions) -> TrialContext:
    return TrialContext(
        launch_of=lambda setting, seconds: launch_of(subject, space, topology, setting, seconds, options),
        inherited=os.environ,
        limits=_limits(options),
        cut=not subject.ends_by_itself,
        line_rule=options.throughput_regex,
        local_share_required=options.local_pages,
        latency_limit_ms=options.latency_limit_ms,
        # A setting says whether libiomp5 is preloaded; sharing the start does not take it away.
        run=partial(
            run_quietly,
            confine=options.confine,
            share=partial(with_shared_start, options=replace(options, omp_runtime="default")),
        ),
    )


def _limits(options: TuneOptions) -> Limits:
    """Those of one trial, which may not take the budget of all."""
    timeout_s = options.timeout or max(LEAST_TRIAL_S, options.budget / 4)
    return replace(limits_from_options(options), timeout_s=timeout_s)


def _watch(run: Trial, number: int) -> None:
    said = run.trouble or f"{format_number(run.rate or 0)} items/s"
    kind = f"round {run.round}" if run.round else "proposed" if run.proposed else "looking around"
    tell(f"{number} ({kind}, {run.cost_s:.1f} s) {run.setting.words}: {said}")


def _keep(
    subject: TuningTarget,
    best: Setting,
    history: Sequence[Trial],
    trial_context: TrialContext,
    space: Space,
    topology: Topology,
    options: TuneOptions,
) -> None:
    candidate = subject.candidates.get(best.numbers)
    plan = space.plan_of(best)
    path = profile_path(os.environ, topology.fingerprint, subject.key)
    former = None if options.fresh else former_profile(path)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    solo = measure_solo(trial_context, best, options.seconds, subject.model is not None, former, now)
    profile = Profile(
        topology=topology.fingerprint,
        program=subject.key,
        arguments=mask_words(subject.arguments),
        batch_size_option=options.batch_size_option,
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
    tell(f"best: {best.words}, {format_number(profile.rate)} items/s")
    if solo is not None:
        share = profile.rate / (len(plan.instances) * solo.rate)
        count = len(plan.instances)
        tell(f"one alone: {format_number(solo.rate)} items/s; {count} together are {share:.1%} of as many of that")
    tell(f"plan: {plan_path(path)}")
    if options.write_plan is not None:
        write_whole(os.path.abspath(options.write_plan), write_plan(plan), UNWRITABLE)
    again = "bench --profile --model MODEL" if subject.model else "run --profile PROGRAM ARGUMENTS"
    tell(f"profile: {path}; use it with `ipexlaunch {again}`")
