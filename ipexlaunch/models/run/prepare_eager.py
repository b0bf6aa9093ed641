"""Prepares a model for engine eager: torch as it is, cast to a floating-point type. The reference in fp32."""

from __future__ import annotations

from time import monotonic

import torch

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import Task
from ipexlaunch.models.run.make_inputs import Batch
from ipexlaunch.models.run.prepared import Prepared

TORCH_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""torch's names of the floating-point types."""


def prepare(
    model: torch.nn.Module,
    candidate: Candidate,
    example_inputs: Batch,  # noqa: ARG001 (every engine is called alike)
    task: Task,  # noqa: ARG001
) -> Prepared:
    """Cast the weights; every operation then runs in that type, as torch has it.

    Args:
        model: in fp32; it is cast in place.
        candidate: a floating-point one.
        example_inputs: not needed.
        task: not needed.

    Raises:
        RequestError: an integer candidate, which torch does not do without torchao.
    """
    if candidate.dtype not in TORCH_DTYPES:
        raise RequestError(
            f"run {candidate.name}",
            "engine eager is torch without quantisation, it runs fp32, bf16 and fp16",
            "use --engine torch or --engine ipex for integers",
        )
    began = monotonic()
    cast = model.to(TORCH_DTYPES[candidate.dtype])
    return Prepared(model=cast, candidate=candidate, convert_s=monotonic() - began)
