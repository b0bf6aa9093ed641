"""The candidates that are tried for each engine: few, each the best known form of its dtype."""

from __future__ import annotations

from typing import Literal

from ipexlaunch.models.engines.candidate import Candidate, Engine, floating
from ipexlaunch.models.engines.instruction_sets import Dispatch

GROUP_SIZE = 32
"""Weights that share a scale in int4. IPEX's own default of 128 leaves MiniLM's embeddings at a cosine of 0.90 with
fp32's, 32 at 0.976; torchao's kernel takes 32, 64 and 128."""


def candidates_of(engine: Engine, dispatch: Dispatch) -> tuple[Candidate, ...]:
    """What one engine can run, floating-point dtypes first.

    Args:
        engine: which.
        dispatch: integers are multiplied with bf16 activations where the processor has instructions for them, else
            with fp32 ones, so that the rest of the network is not emulated.
    """
    plain = tuple(floating(engine, dtype) for dtype in ("fp32", "bf16", "fp16"))
    if engine == "eager":
        return plain
    if engine == "ipex":
        # Where IPEX has no kernel and unpacks weights at each call, bf16 activations give wrong answers (measured with
        # 2.8 on a Zen 5: a cosine near 0, or no number), fp32 ones right ones.
        own = "avx512_fp16" in dispatch.ipex & dispatch.onednn
        return (*plain, _weights("ipex", "int8", own), _weights("ipex", "int4", own))
    wide = bool({"avx512_bf16", "amx_bf16", "bf16"} & dispatch.aten & dispatch.onednn)
    # Activations become int8 at each product: from fp32 it is the shorter way, with bf16 what lies between is faster.
    dynamic = tuple(
        Candidate(engine="torch", dtype="int8", scheme="dynamic", activations=each)
        for each in (("fp32", "bf16") if wide else ("fp32",))
    )
    # int4 has a kernel for bf16 activations only.
    return (*plain, *dynamic, _weights("torch", "int8", wide), _weights("torch", "int4", True))


def _weights(engine: Engine, dtype: Literal["int8", "int4"], wide: bool) -> Candidate:
    activations: Literal["bf16", "fp32"] = "bf16" if wide else "fp32"
    group_size = GROUP_SIZE if dtype == "int4" else 0
    return Candidate(engine=engine, dtype=dtype, scheme="weight-only", activations=activations, group_size=group_size)
