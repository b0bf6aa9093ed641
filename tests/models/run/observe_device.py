"""Runs a small model on a stand-in for torch.xpu and prints what was asked of it; in the environment with torch."""

import json
import sys
from typing import Any

import torch

from ipexlaunch.errors import LaunchError, RequestError
from ipexlaunch.models.engines.candidate import REFERENCE, Candidate, floating
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.run.batches import make_inputs
from ipexlaunch.models.run.load_model import load_model
from ipexlaunch.models.run.prepare import open_device, prepare_on_device
from ipexlaunch.models.run.run_task import compare, run_task, take_reference


class StandIn:
    """What of torch.xpu is used; its device is the cpu."""

    def __init__(self, there: bool = True) -> None:
        self.there = there
        self.synchronized = 0

    def is_available(self) -> bool:
        return self.there

    def get_device_name(self, number: int) -> str:
        return f"Stand-in {number}"

    def synchronize(self) -> None:
        self.synchronized += 1


def refused(call: Any) -> str:
    try:
        call()
    except (LaunchError, RequestError) as error:
        return str(error)
    return ""


def noting(place: Any, moved: list[str]) -> Any:
    def placed(batch: Any) -> Any:
        moved.extend(batch)
        return place(batch)

    return placed


found: dict[str, Any] = {}
for task, model in (("embed", "random:minilm"), ("generate", "random:llama-68m")):
    backend = StandIn()
    device = open_device("xpu", backend, torch.device("cpu"))
    job = ModelJob(model=model, task=task, batch_size=2, input_tokens=8, new_tokens=4)  # type: ignore[arg-type]
    loaded = load_model(job)
    batch = make_inputs(job, loaded).batches[0]
    reference = take_reference(loaded.model, job.task, [batch])
    prepared = prepare_on_device(loaded.model, floating("eager", "fp32"), device)
    moved: list[str] = []
    prepared.place = noting(prepared.place, moved)
    before = backend.synchronized
    call = run_task(prepared, job.task, batch, job.new_tokens)
    answers = compare(prepared, reference)
    found[task] = {
        "moved": sorted(set(moved)), "facts": dict(prepared.facts), "synchronized": backend.synchronized - before,
        "steps": len(call.next_token_s), "cosine": answers.cosine, "agreement": answers.agreement,
    }  # fmt: skip
found["none"] = refused(lambda: open_device("xpu", StandIn(there=False)))
found["int8"] = refused(
    lambda: prepare_on_device(torch.nn.Linear(2, 2), Candidate(engine="torch", dtype="int8", scheme="dynamic"), device)
)
found["reference"] = REFERENCE.name
json.dump(found, sys.stdout)
