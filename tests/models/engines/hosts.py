"""Processors and interpreters that tests choose for."""

from __future__ import annotations

from collections.abc import Mapping

from ipexlaunch.models.engines import instruction_sets as sets
from ipexlaunch.models.engines.candidate import Candidate, Dtype, Engine, Scheme, floating
from ipexlaunch.models.engines.expectations import Expectation, Software
from ipexlaunch.models.engines.instruction_sets import Dispatch, dispatch
from ipexlaunch.models.engines.measurement import Measurement

COMMON = frozenset({"sse4_2", "avx", "avx2", "fma"})
AVX512 = COMMON | {"avx512f", "avx512bw", "avx512vl", "avx512dq"}
ZEN5 = AVX512 | {"avx512_vnni", "avx512_bf16", "avx_vnni"}
FLAGS: Mapping[str, frozenset[str]] = {
    "haswell": COMMON,
    "skylake": AVX512,
    "icelake": AVX512 | {"avx512_vnni"},
    "zen5": ZEN5,
    "sapphire": ZEN5 | sets.AMX.flags,
    "granite": ZEN5 | sets.AMX_FP16.flags,
    "graviton4": frozenset({"asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2"}),
    "pi4": frozenset({"asimd"}),
}

IPEX_ENV = Software(torch="2.8.0", ipex="2.8.0", transformers="4.51.3")
TORCH_ENV = Software(torch="2.13.0+cpu", torchao="0.18.0", transformers="5.23.0")


def host(name: str, **environment: str) -> Dispatch:
    """A processor, with caps where variables set them."""
    return dispatch(FLAGS[name], environment)


def weights(engine: Engine, dtype: Dtype, scheme: Scheme = "weight-only", **more: object) -> Candidate:
    """An integer candidate with bf16 activations."""
    fields: dict[str, object] = {"activations": "bf16", **more}
    return Candidate(engine=engine, dtype=dtype, scheme=scheme, **fields)  # type: ignore[arg-type]


PLAIN = {dtype: floating("torch", dtype) for dtype in ("fp32", "bf16", "fp16")}
OK = Expectation(fares="ok", reason="a reason")


def took(candidate: Candidate, call_ms: float, reference_ms: float = 50.0, **more: object) -> Measurement:
    """A measurement of one worker with one item a call, whose rounds lay close together."""
    fields: dict[str, object] = {"calls": 20, "spread": 0.01, **more}
    return Measurement(
        candidate=candidate,
        call_s=call_ms / 1e3,
        reference_s=reference_ms / 1e3,
        items_per_s=1e3 / call_ms,
        reference_items_per_s=1e3 / reference_ms,
        **fields,  # type: ignore[arg-type]
    )
