"""What a model is for, by its config.json; and what that says of the instances that run it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from ipexlaunch.cli.options.batch_options import BatchOptions, LoadgenOptions
from ipexlaunch.cli.options.model_options import BenchOptions, TuneOptions
from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.model_job import Task, default_task, is_random, shape_of
from ipexlaunch.plan.published_sizes import Workload

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
"""What a name on a model hub looks like: who published it, a slash, which."""

Options = TypeVar("Options", BatchOptions, LoadgenOptions, BenchOptions, TuneOptions)


def task_of(model: str) -> Task:
    """What the model is for, by its config.json; the worker says what else is wrong with a directory.

    Args:
        model: a transformers directory, or random:NAME.

    Raises:
        RequestError: it has no config.json that can be read.
    """
    if is_random(model):
        return "generate" if shape_of(model).decoder else "embed"
    path = os.path.join(model, "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except OSError as error:
        hint = "give a directory that transformers' save_pretrained wrote, or random:NAME"
        if HUB_NAME.fullmatch(model) and not os.path.exists(model):
            there = "there is no such directory, and nothing is downloaded"
            fetch = f"fetch it first: hf download {model} --local-dir {model.rpartition('/')[2]}"
            raise RequestError(f"load the model {model}", there, fetch) from None
        raise RequestError(f"load the model {model}", f"{path}: {(error.strerror or '').lower()}", hint) from None
    except ValueError as error:
        raise RequestError(
            f"load the model {model}", f"{path} is not JSON: {error}", "fetch or save the model again"
        ) from None
    architectures = config.get("architectures") if isinstance(config, dict) else None
    return default_task(str(architectures[0]) if architectures else "")


WORKLOAD_OF: Mapping[Task, Workload] = {
    "embed": "embed",
    "classify": "embed",
    "forward": "embed",
    "generate": "generate",
}


def knowing_the_model(options: Options, *, tuned: bool = False) -> Options:
    """The options with what the instances run, where their size goes by that and nobody has said it.

    Args:
        options: of the command.
        tuned: whether sizes are tried.
    """
    request = options.request
    by_rule = tuned or request.goal == "throughput" or request.ncores_per_instance == "auto"
    if options.model is None or request.workload is not None or not by_rule:
        return options
    workload = WORKLOAD_OF[options.task or task_of(options.model)]
    return replace(options, request=replace(request, workload=workload))
