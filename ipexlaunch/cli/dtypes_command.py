"""`ipexlaunch dtypes`: which numbers are fast on this host, as expected and as measured."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import click

from ipexlaunch.cli.options import JobOptions
from ipexlaunch.cli.options.checked_command import checked_command
from ipexlaunch.cli.options.complete_words import complete_files
from ipexlaunch.cli.options.model_options import min_cosine_option
from ipexlaunch.cli.options.option_types import COUNT, SECONDS, flag, valued
from ipexlaunch.cli.options.plan_options import made_of, options_of, plan_of, plan_options
from ipexlaunch.cli.options.run_options import env_option, run_options
from ipexlaunch.cli.run.built_in_workers import built_in_job
from ipexlaunch.cli.run.find_environments import made_environments
from ipexlaunch.cli.run.know_model import task_of
from ipexlaunch.cli.run.measuring_run import run_measuring
from ipexlaunch.cli.terminal import showable, tell, wants_color, width_of
from ipexlaunch.errors import RequestError
from ipexlaunch.launch.job import Job
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.wording import grouped
from ipexlaunch.models.engines.candidate_result import CandidateResult
from ipexlaunch.models.engines.choose import ENGINE_CHOICES, EngineChoice, call_ms, verdict
from ipexlaunch.models.engines.model_job import FEW_LAYERS, TASKS, ModelJob, Task
from ipexlaunch.models.engines.model_job import SECONDS as MEASURED_S
from ipexlaunch.plan import Request
from ipexlaunch.report.tables.dtypes_tables import dtypes_table, ranking, ranking_table
from ipexlaunch.tune.dtypes import (
    WORKER,
    MeasureContext,
    decide,
    expected_of,
    fill_in_measurements,
    make_measure_context,
)

DEFAULT_MODEL = "random:bert-base"
"""Its first layers stand for the shapes that most models have, where none is named."""

LARGE_CALL = (8, 128)
SMALL_CALL = (1, 16)
"""Inputs, and tokens of each: the weights of a large call are used often, those of a small one read for little work, as
when a decoder makes one token after the other."""

SCHEMA = "ipexlaunch/dtypes/1"


@dataclass(frozen=True, kw_only=True)
class DtypesOptions:
    """Those of `dtypes`, but for what is shown."""

    request: Request
    plan_file: str | None
    model: str | None
    task: Task
    batch_size: int | None
    input_tokens: int | None
    new_tokens: int
    min_cosine: float | None
    pythons: tuple[str, ...]
    env: tuple[str, ...]
    seconds: float
    no_cache: bool


@checked_command("dtypes")
@plan_options
@valued("--plan", "Measure on the plan in FILE instead of making one.", metavar="FILE", dest="plan_file")
@valued("--engine", "One engine, or all there are.", ENGINE_CHOICES, "auto")
@valued(
    "--model",
    f"The model whose layers are measured  [default: {FEW_LAYERS} layers of {DEFAULT_MODEL}].",
    metavar="DIR|random:NAME",
)
@valued("--task", "What a call does.", TASKS, "forward")
@valued("--batch-size", "Inputs of a call  [default: 8, and a call of 1].", COUNT, metavar="N")
@valued("--input-tokens", "Of each input  [default: 128, and 16 of the 1].", COUNT, metavar="N")
@valued("--new-tokens", "With --task generate.", COUNT.at_least(2), 32)
@min_cosine_option
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PATH",
    shell_complete=complete_files,
    help="Interpreter of the workers; several, to see several environments  [default: the active environment's].",
)
@env_option
@valued("--seconds", "To time each candidate.", SECONDS.at_least(0.05), MEASURED_S)
@flag("--no-cache", "Measure again, and keep nothing.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def dtypes_command(context: click.Context, /, engine: EngineChoice, form: str, **values: Any) -> int:
    """Show which engine and numbers are fast on this host: what is known of them, and what is measured.

    Every candidate is measured on the planned instances, all at once, in turn with fp32; what was measured before is
    remembered for this host, these versions, this plan and this model.
    """
    options = options_of(DtypesOptions, context, values)
    layers = None if options.model else FEW_LAYERS
    if options.model is not None:
        task_of(options.model)
    measure_contexts = [_measure_context(python, options) for python in options.pythons or made_environments()]
    tables = [
        Table(job, layers, measure_context, _measured(job, engine, measure_context, layers, options.seconds))
        for measure_context in measure_contexts
        for job in _jobs(options)
    ]
    if form == "json":
        print(json.dumps(_document(tables), indent=2))
    else:
        _print_tables(tables)
    return 0


class Table(NamedTuple):
    """One table: a call's shape in one interpreter."""

    job: ModelJob
    layers: int | None
    measure_context: MeasureContext
    known: tuple[CandidateResult, ...]


def _jobs(options: DtypesOptions) -> list[ModelJob]:
    """A large call and a small one, which unlike candidates win; the one that is asked for where sizes are given."""
    sizes = [(options.batch_size or LARGE_CALL[0], options.input_tokens or LARGE_CALL[1])]
    if options.batch_size is None and options.input_tokens is None and options.task != "generate":
        sizes.append(SMALL_CALL)
    return [
        ModelJob(
            model=options.model or DEFAULT_MODEL,
            task=options.task,
            batch_size=batch_size,
            input_tokens=input_tokens,
            new_tokens=options.new_tokens,
            min_cosine=options.min_cosine,
        )
        for batch_size, input_tokens in sizes
    ]


def _refuse_device(device: str | None) -> None:
    if device is not None:
        raise RequestError(f"measure dtypes on {device}", "the table is one of processors", "leave out --device")


def _measure_context(python: str, options: DtypesOptions) -> MeasureContext:
    topology = open_topology("live")
    _refuse_device(options.request.device)
    plan = plan_of(topology, options.request, options.plan_file)
    _refuse_device(plan.request.device)
    return make_measure_context(
        topology,
        plan,
        workers_job(python, options.env),
        os.environ,
        tell,
        use_cache=not options.no_cache,
        run=run_measuring,
    )


def workers_job(python: str, variables: tuple[str, ...]) -> Job:
    """How `run` starts workers where no option says otherwise."""

    @click.command()
    @run_options
    def plain_run() -> None:
        """Stands for `run` with no option given."""

    defaults = made_of(JobOptions, plain_run.make_context("run", []).params)
    return built_in_job(WORKER, replace(defaults, python=python, env=variables))


def _measured(
    job: ModelJob, engine: EngineChoice, measure_context: MeasureContext, layers: int | None, seconds: float
) -> tuple[CandidateResult, ...]:
    known = expected_of(job, engine, measure_context)
    wanted = [each.candidate for each in known if each.expectation.fares != "unavailable"]
    if not wanted:
        return known
    known = fill_in_measurements(job, known, wanted, measure_context, seconds=seconds, layers=layers)
    return known if layers is not None else decide(job, known, measure_context, seconds=seconds)


def _print_tables(tables: list[Table]) -> None:
    width, color = width_of(sys.stdout), wants_color(sys.stdout)
    for number, alike in enumerate(_by_call(tables)):
        text = "\n".join(_headlines(*alike)) + "\n\n"
        if len(alike) == 1:
            text += dtypes_table(alike[0].known, width=width, color=color)
        else:
            text += ranking_table(_by_python(alike), width=width, color=color)
        print(("\n" if number else "") + showable(text, sys.stdout), end="")


def _by_call(tables: list[Table]) -> list[list[Table]]:
    """Those of the same call together: one of each interpreter."""
    return [[table for table in tables if table.job == job] for job in dict.fromkeys(table.job for table in tables)]


def _by_python(alike: list[Table]) -> dict[str, tuple[CandidateResult, ...]]:
    return {table.measure_context.job.python: table.known for table in alike}


def _headlines(table: Table, *others: Table) -> list[str]:
    job, measure_context = table.job, table.measure_context
    instances = measure_context.plan.chosen
    threads = sorted({instance.threads for instance in instances})
    part = f", first {table.layers} layers" if table.layers else ""
    new = f" and {job.new_tokens} new ones" if job.task == "generate" else ""
    return [
        f"{measure_context.topology.cpu_model or 'unknown processor'}: {measure_context.dispatch.common.name}",
        *(f"{each.measure_context.software.words} ({each.measure_context.job.python})" for each in (table, *others)),
        f"{job.model}{part}, {job.task}, {grouped(job.batch_size, 'input')} of "
        f"{grouped(job.input_tokens, 'token')}{new} a call",
        f"{grouped(len(instances), 'instance')} of {' or '.join(map(str, threads))} "
        f"thread{'s' * (threads != [1])}, all at once",
    ]


def _document(tables: list[Table]) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "tables": [_table(table) for table in tables],
        "rankings": [_ranking(alike) for alike in _by_call(tables)],
    }


def _ranking(alike: list[Table]) -> dict[str, object]:
    """What ran of one call in all environments, fastest first."""
    ran = [row for row in ranking(_by_python(alike)) if row.call_ms is not None]
    job = alike[0].job
    return {
        "batch_size": job.batch_size,
        "input_tokens": job.input_tokens,
        "candidates": [
            {"python": row.environment, "name": row.each.candidate.name, "call_ms": row.call_ms, "verdict": row.verdict}
            for row in ran
        ],
    }


def _table(table: Table) -> dict[str, object]:
    job, measure_context = table.job, table.measure_context
    return {
        "cpu": measure_context.topology.cpu_model,
        "instruction_set": measure_context.dispatch.common.name,
        "python": measure_context.job.python,
        "torch": measure_context.software.torch,
        "ipex": measure_context.software.ipex,
        "torchao": measure_context.software.torchao,
        "openvino": measure_context.software.openvino,
        "threads": [instance.threads for instance in measure_context.plan.chosen],
        "model": job.model,
        "layers": table.layers,
        "task": job.task,
        "batch_size": job.batch_size,
        "input_tokens": job.input_tokens,
        "new_tokens": job.new_tokens if job.task == "generate" else None,
        "candidates": [_row(each, table.known) for each in table.known],
    }


def _row(each: CandidateResult, known: tuple[CandidateResult, ...]) -> dict[str, object]:
    measured, expectation = each.measurement, each.expectation
    answers = measured.answers if measured else None
    return {
        "name": each.candidate.name,
        "engine": each.candidate.engine,
        "dtype": each.candidate.dtype,
        "expected": expectation.fares,
        "reason": expectation.reason,
        "source": expectation.source,
        "verdict": verdict(each, known),
        "trouble": each.objection,
        "times_fp32": each.speed,
        "call_ms": call_ms(each, known),
        "items_per_s": measured.items_per_s if measured else None,
        "calls": measured.calls if measured else 0,
        "prepare_s": measured.prepare_s if measured else None,
        "prepare_cpu_s": measured.prepare_cpu_s if measured else None,
        "memory_bytes": measured.memory_bytes if measured else None,
        "cosine": answers.cosine if answers else None,
        "agreement": answers.agreement if answers else None,
        "logit_error": answers.logit_error if answers else None,
        "notes": list(measured.notes) if measured else [],
    }
