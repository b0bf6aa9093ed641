"""What a batch job runs: the built-in worker with the model that was asked for; and what its results depend on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace

from ipexlaunch.batch.feed.open_job import recorded_job
from ipexlaunch.batch.input.open_items import ItemSource
from ipexlaunch.batch.output.result_rows import OutputRules
from ipexlaunch.cli.options.batch_input import output_rules
from ipexlaunch.cli.options.batch_options import BatchOptions, FedOptions
from ipexlaunch.cli.run.built_in_workers import built_in_job, model_job, resolved, tell_choice
from ipexlaunch.cli.run.input_texts import InputTexts
from ipexlaunch.cli.terminal import tell
from ipexlaunch.documents.secret_values import masked
from ipexlaunch.errors import UsageError
from ipexlaunch.launch.job import Job
from ipexlaunch.machine.topology import Topology
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.engines.openai_request import TASKS
from ipexlaunch.plan import Plan

WORKER = "ipexlaunch.models.run_batch"


def model_program(
    model: str,
    plan: Plan,
    topology: Topology,
    options: FedOptions,
    texts: InputTexts,
    former: Callable[[], Candidate | None] | None = None,
    keep: Callable[[Candidate], Candidate] | None = None,
) -> tuple[Job, tuple[str, ...]]:
    """The built-in worker with its model; and which candidates for it were unavailable, for the report.

    Args:
        model: a transformers directory, or random:NAME.
        plan: the instances.
        topology: the machine.
        options: of the command.
        texts: what candidates are measured on.
        former: what a resumed job was begun with, if that may be used again.
        keep: is told what was found, where something was measured; what it gives back is run.

    Raises:
        IpexLaunchError: the model cannot be run here.
        UsageError: the task has no results.
    """
    described = model_job(model, options, options.batch_size)
    if described.task == "forward":
        raise UsageError("--task forward has no results to write; give embed, classify or generate")
    if options.input_format == "openai":
        if described.task not in TASKS:
            raise UsageError(
                f"--format openai goes with --task {' or '.join(TASKS)}, not {described.task}; give one of these"
            )
        described = replace(described, requests=True)
    program = built_in_job(WORKER, options)
    if former is not None and plan.request.device is None and "auto" in (options.engine, options.dtype):
        candidate = former()
        if candidate is not None:
            tell(f"{candidate.name}: what the job began with")
            return replace(program, arguments=(replace(described, candidate=candidate).to_json(),)), ()
    found = resolved(texts.of_model(described), program, plan, topology, options)
    tell_choice(found.choice)
    chosen = found.job if keep is None else replace(found.job, candidate=keep(found.job.candidate))
    return replace(program, arguments=(chosen.to_json(),)), found.choice.left_out


def candidate_of_before(options: BatchOptions) -> Candidate | None:
    """The engine and dtype that were chosen when the job began, where they are among those that may be chosen now.

    Another measurement may find another one slightly faster, and a resumed job may not change it.
    """
    before = recorded_job(output_rules(options)).get("program")
    try:
        candidate = ModelJob.from_json(before["arguments"][0]).candidate if isinstance(before, dict) else None
    except (ValueError, TypeError, KeyError, IndexError):
        return None  # of a program, or of another version: the comparison with this job says so
    if candidate is None or options.engine not in ("auto", candidate.engine):
        return None
    return candidate if options.dtype in ("auto", candidate.dtype) else None


def identity_of(job: Job, source: ItemSource, rules: OutputRules, options: BatchOptions) -> dict[str, object]:
    """What the results depend on: a resumed job must be the same in all of it."""
    arguments = list(job.arguments)
    if job.program == WORKER:
        arguments = [ModelJob.from_json(arguments[0]).unlimited().to_json()]
    program: dict[str, object] = {"kind": job.kind, "name": job.program, "arguments": arguments}
    if job.kind == "script":
        program["sha256"] = script_digest(job.program)
    if job.environment:
        program["environment"] = dict(job.environment)
    kept = {"--id-field": options.id_field, "--text-field": options.text_field}
    program = masked(program)
    form = {"--delimiter": options.delimiter, "--quote": options.quote}
    kept |= {name: value for name, value in form.items() if value not in (None, '"')}
    return {
        "input": source.identity or {"pipe": source.name},
        "program": program,
        "options": {**kept, "--keep-order": rules.keep_order, "--output-format parquet": rules.parquet},
    }


def script_digest(program: str) -> str:
    """What tells a script, or the directory of one, from a changed one.

    Args:
        program: its path.

    Raises:
        OSError: it cannot be read.
    """
    script = os.path.join(program, "__main__.py") if os.path.isdir(program) else program
    with open(script, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
