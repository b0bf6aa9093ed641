"""`ipexlaunch bench`: the built-in worker with a model on every instance."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ipexlaunch.cli.baseline_run import baseline_option
from ipexlaunch.cli.bench_options import bench_options
from ipexlaunch.cli.make_job import job_from_options, launch_from_options
from ipexlaunch.cli.plan_file import plan_to_run
from ipexlaunch.cli.plan_options import plan_options
from ipexlaunch.cli.run_launch import run_launch
from ipexlaunch.cli.run_options import run_options
from ipexlaunch.engines.model_job import ModelJob, Task
from ipexlaunch.engines.model_shapes import is_random, shape_of
from ipexlaunch.engines.natural_task import natural_task
from ipexlaunch.engines.quantized_form import AS_IT_COMES, QuantizedForm
from ipexlaunch.errors import RequestError
from ipexlaunch.launch import shell_line

if TYPE_CHECKING:
    from ipexlaunch.guard_dtypes import Resolved
    from ipexlaunch.launch import Job
    from ipexlaunch.plan import Plan
    from ipexlaunch.topology import Topology

WORKER = "ipexlaunch.workers.run_model"

FLOATING = ("fp32", "bf16", "fp16")


@click.command(
    name="bench",
    context_settings={"token_normalize_func": lambda token: token.replace("_", "-")},
)
@bench_options
@plan_options
@run_options
@baseline_option
@click.pass_context
def command(context: click.Context, /, **options: Any) -> int:
    """Run a model on every instance and report throughput, latencies, and how long it took to be ready.

    \b
      ipexlaunch bench --model ./all-MiniLM-L6-v2
      ipexlaunch bench --ninstances 2 --model random:llama-160m --engine torch --dtype bf16
    """
    for name in ("module", "no_python"):
        if options[name]:
            raise click.UsageError(f"--{name.replace('_', '-')} is for programs; bench has its own worker")
    job = _model_job(options)
    plan, topology = plan_to_run(context, options)
    program = job_from_options(WORKER, (), {**options, "module": True})
    resolved = _resolved(job, program, plan, topology, options)
    launch = launch_from_options(plan, replace(program, arguments=(resolved.job.to_json(),)), options)
    if options["dry_run"]:
        for worker in launch.workers:
            click.echo(shell_line(worker))
        return 0
    _tell(f"{resolved.choice.candidate.name}: {resolved.choice.why}")
    return run_launch(launch, topology, options).exit_code


def _model_job(options: dict[str, Any]) -> ModelJob:
    model: str = options["model"]
    return ModelJob(
        model=model if is_random(model) else os.path.abspath(model),
        task=options["task"] or _task_of(model),
        batch_size=options["batch_size"],
        input_tokens=options["input_tokens"],
        new_tokens=options["new_tokens"],
        text=_there(options["text"], "read the text"),
        checkpoint=_there(options["checkpoint"], "read the checkpoint"),
        warmup_batches=options["warmup"],
        seconds=options["duration"],
        seed=options["seed"],
        cache="" if options["no_cache"] else _cache_directory(options["cache_dir"]),
        check=not options["no_check"],
    )


def _task_of(model: str) -> Task:
    """What the model is for, by its config.json; the worker says what else is wrong with a directory."""
    if is_random(model):
        return "generate" if shape_of(model).decoder else "embed"
    path = os.path.join(model, "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except OSError as error:
        hint = "give a directory that transformers' save_pretrained wrote, or random:NAME"
        raise RequestError(f"load the model {model}", f"{path}: {(error.strerror or '').lower()}", hint) from None
    except ValueError as error:
        raise RequestError(f"load the model {model}", f"{path} is not JSON: {error}") from None
    architectures = config.get("architectures") if isinstance(config, dict) else None
    return natural_task(str(architectures[0]) if architectures else "")


def _there(path: str, wanted: str) -> str:
    """The absolute path of a file that must be there; "" for none."""
    if path and not os.path.exists(path):
        raise RequestError(f"{wanted} {path}", "there is no such file")
    return os.path.abspath(path) if path else ""


def _cache_directory(asked: str | None) -> str:
    from ipexlaunch.guard_dtypes.ground import cache_directory

    return os.path.abspath(asked) if asked else os.path.join(os.path.dirname(cache_directory(os.environ)), "compiled")


def _resolved(job: ModelJob, program: Job, plan: Plan, topology: Topology, options: dict[str, Any]) -> Resolved:
    """The job with the candidate that runs."""
    from ipexlaunch.guard_dtypes import make_ground, resolve_candidate

    ground = make_ground(topology, plan, program, os.environ, _tell, use_cache=not options["no_cache"])
    form = QuantizedForm(
        scheme=options["quantization"], group_size=options["group_size"], lowp_mode=options["lowp_mode"] or ""
    )
    if form != AS_IT_COMES and options["dtype"] in FLOATING:
        raise click.UsageError(
            f"--quantization, --group-size and --lowp-mode are for int8 and int4, not {options['dtype']}"
        )
    return resolve_candidate(job, options["engine"], options["dtype"], ground, form=form, force=options["force_dtype"])


def _tell(text: str) -> None:
    print(f"ipexlaunch: {text}", file=sys.stderr, flush=True)
