"""A candidate: one engine with one dtype, the unit that is guarded, measured, chosen and run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Engine = Literal["ipex", "torch", "eager"]
"""ipex: IPEX's optimize, llm.optimize and weight-only kernels; torch: torch.compile with freezing, and torchao; eager:
torch as it is, the reference that the others are checked against."""

Dtype = Literal["fp32", "bf16", "fp16", "int8", "int4"]

Scheme = Literal["", "dynamic", "weight-only"]
"""How integers are used. dynamic: activations are quantised call by call and the product is an integer one;
weight-only: weights are kept as integers and widened for a floating-point product; "" for floating-point dtypes."""

ENGINES: tuple[Engine, ...] = ("ipex", "torch", "eager")
DTYPES: tuple[Dtype, ...] = ("fp32", "bf16", "fp16", "int8", "int4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An engine with a dtype and everything that decides which kernels run."""

    engine: Engine
    dtype: Dtype
    scheme: Scheme = ""
    activations: Literal["fp32", "bf16", "fp16"] = "fp32"
    """What the weights are multiplied with; the dtype itself for floating-point candidates."""
    group_size: int = 0
    """Weights that share a scale; 0 for the engine's own default (a whole channel for int8)."""
    lowp_mode: str = ""
    """IPEX's low-precision mode of weight-only products (NONE, FP16, BF16, INT8); "" for its own choice."""

    @property
    def name(self) -> str:
        """For tables and messages, e.g. "torch int8 dynamic"; two candidates of one list never share it."""
        words: list[str] = [self.engine, self.dtype, self.scheme]
        if self.scheme:
            words.append(f"x {self.activations}")
        if self.group_size:
            words.append(f"g{self.group_size}")
        if self.lowp_mode:
            words.append(f"lowp {self.lowp_mode}")
        return " ".join(filter(None, words))


def floating(engine: Engine, dtype: Literal["fp32", "bf16", "fp16"]) -> Candidate:
    """The candidate of a floating-point dtype."""
    return Candidate(engine=engine, dtype=dtype, activations=dtype)


REFERENCE = floating("eager", "fp32")
"""What every answer is compared with."""
