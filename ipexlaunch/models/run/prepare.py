"""Gives a loaded model to the engine of a candidate."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import Task
from ipexlaunch.models.run.make_inputs import Batch
from ipexlaunch.models.run.prepared import Prepared

if TYPE_CHECKING:
    import torch

_MODULES = {
    "eager": "ipexlaunch.models.run.prepare_eager",
    "ipex": "ipexlaunch.models.run.prepare_ipex",
    "torch": "ipexlaunch.models.run.prepare_torch",
}
"""Imported when asked for: each imports what its engine needs."""


def prepare(
    model: torch.nn.Module,
    candidate: Candidate,
    example_inputs: Batch,
    task: Task,
    *,
    checkpoint: str = "",
    new_tokens: int = 64,
    cache: str = "",
    say: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Make of a loaded model what the candidate runs.

    Args:
        model: in fp32 and eval mode; it is changed or taken apart, so pass a copy to keep it.
        candidate: the engine and the numbers.
        example_inputs: one batch of the shape that will be run.
        task: what the calls will be.
        checkpoint: directory of a low-precision checkpoint (GPTQ or AWQ) of the model, for engine ipex; "" for none.
        new_tokens: how many will be generated for each input (engine torch compiles for them).
        cache: directory of compiled programs (engine torch); "" for none.
        say: told "waiting for compilation" and "compiling" when they begin.

    Raises:
        RequestError: the engine cannot do what the candidate asks.
    """
    if checkpoint and candidate.engine != "ipex":
        raise RequestError(
            f"load the low-precision checkpoint {checkpoint} with engine {candidate.engine}",
            "GPTQ and AWQ checkpoints are loaded through IPEX",
            "use --engine ipex --dtype int4",
        )
    engine = importlib.import_module(_MODULES[candidate.engine])
    if candidate.engine == "ipex":
        prepared: Prepared = engine.prepare(model, candidate, example_inputs, task, checkpoint=checkpoint)
    elif candidate.engine == "torch":
        prepared = engine.prepare(model, candidate, example_inputs, task, new_tokens=new_tokens, cache=cache, say=say)
    else:
        prepared = engine.prepare(model, candidate, example_inputs, task)
    return prepared
