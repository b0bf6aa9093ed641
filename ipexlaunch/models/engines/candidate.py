"""A candidate: one engine with one dtype, the unit that is guarded, measured, chosen and run; those of each engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.instruction_sets import Dispatch

Engine = Literal["ipex", "torch", "openvino", "eager"]
"""ipex: IPEX's optimize, llm.optimize and weight-only kernels; torch: torch.compile with freezing, and torchao;
openvino: the model converted to one OpenVINO program of dynamic shape; eager: torch as it is, the reference of all."""

Dtype = Literal["fp32", "bf16", "fp16", "int8", "int8-calibrated", "int4"]
"""int8-calibrated: activations too, in ranges that were found beforehand on texts."""

Scheme = Literal["", "dynamic", "static", "weight-only"]
"""How integers are used. dynamic: activations are quantised call by call and the product is an integer one; static: the
same with ranges that calibration found; weight-only: weights are kept as integers and widened for a floating-point
product; "" for floating-point dtypes."""

ENGINES: tuple[Engine, ...] = ("ipex", "torch", "openvino", "eager")
DTYPES: tuple[Dtype, ...] = ("fp32", "bf16", "fp16", "int8", "int8-calibrated", "int4")


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
    backend: Literal["", "zentorch"] = ""
    """Whose passes and kernels engine torch compiles with; "" for torch's own. zentorch is AMD's."""

    @property
    def fields(self) -> dict[str, object]:
        """As `asdict` has them, without a backend where there is none: what was named by them before keeps its name."""
        return {name: value for name, value in asdict(self).items() if value or name != "backend"}

    @property
    def name(self) -> str:
        """For tables and messages, e.g. "torch int8 dynamic"; two candidates of one list never share it."""
        # A calibrated dtype says by its name how it is used.
        words: list[str] = [self.engine, self.dtype, self.scheme if self.scheme != "static" else ""]
        if self.scheme:
            words.append(f"x {self.activations}")
        if self.group_size:
            words.append(f"g{self.group_size}")
        if self.lowp_mode:
            words.append(f"lowp {self.lowp_mode}")
        words.append(self.backend)
        return " ".join(filter(None, words))


def floating(engine: Engine, dtype: Literal["fp32", "bf16", "fp16"]) -> Candidate:
    """The candidate of a floating-point dtype."""
    return Candidate(engine=engine, dtype=dtype, activations=dtype)


REFERENCE = floating("eager", "fp32")
"""What every answer is compared with."""


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
    if engine == "openvino":
        return _of_openvino(wide, "amx_tile" in dispatch.onednn)
    # Activations become int8 at each product: from fp32 it is the shorter way, with bf16 what lies between is faster.
    dynamic = tuple(
        Candidate(engine="torch", dtype="int8", scheme="dynamic", activations=each)
        for each in (("fp32", "bf16") if wide else ("fp32",))
    )
    # Its kernels are for AVX-512, and flags do not tell who made the processor: who installs it wants it measured.
    needed = {"fp32": "avx512f", "bf16": "avx512_bf16"}
    common = dispatch.aten & dispatch.onednn
    amd = tuple(replace(each, backend="zentorch") for each in plain if needed.get(each.dtype) in common)
    # int4 has a kernel for bf16 activations only.
    return (*plain, *amd, *dynamic, _weights("torch", "int8", wide), _weights("torch", "int4", True))


def _of_openvino(wide: bool, tiles: bool) -> tuple[Candidate, ...]:
    own: Literal["bf16", "fp32"] = "bf16" if wide else "fp32"
    # With AMX OpenVINO quantises fp32 activations only; bf16 ones it multiplies with weights that it widens, which is
    # faster for many rows and slower for the few of a decoder's step (OpenVINO's pull request 35726).
    steps: Literal["bf16", "fp32"] = "fp32" if tiles else own
    kinds: tuple[tuple[Dtype, Scheme, Literal["bf16", "fp32"], int], ...] = (
        ("int8", "dynamic", own, 0),
        ("int8-calibrated", "static", own, 0),
        *((("int8", "dynamic", steps, 0),) if steps != own else ()),
        ("int4", "dynamic", steps, GROUP_SIZE),
    )
    return (
        floating("openvino", "fp32"),
        floating("openvino", "bf16"),
        *(
            Candidate(engine="openvino", dtype=dtype, scheme=scheme, activations=activations, group_size=group_size)
            for dtype, scheme, activations, group_size in kinds
        ),
    )


def _weights(engine: Engine, dtype: Literal["int8", "int4"], wide: bool) -> Candidate:
    activations: Literal["bf16", "fp32"] = "bf16" if wide else "fp32"
    group_size = GROUP_SIZE if dtype == "int4" else 0
    return Candidate(engine=engine, dtype=dtype, scheme="weight-only", activations=activations, group_size=group_size)


GROUP_SIZES = (32, 64, 128)
"""torchao's int4 kernel for cpus takes these (prototype/quantization/int4); IPEX takes more, and every one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedForm:
    """What is asked of int8 and int4 beyond the dtype; floating-point candidates are untouched by it."""

    scheme: Literal["auto", "dynamic", "static", "weight-only"] = "auto"
    group_size: int = 0
    """Weights that share a scale; 0 for each candidate's own."""
    lowp_mode: str = ""
    """IPEX's low-precision mode; "" for its own choice."""

    def of(self, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
        """Those that are of this form, with its group size and mode.

        Args:
            candidates: as `candidates_of` lists them.

        Raises:
            RequestError: torchao has no such group size.
        """
        return tuple(self._applied(each) for each in candidates if self._allows(each))

    def _allows(self, candidate: Candidate) -> bool:
        if not candidate.scheme:
            return True
        if self.lowp_mode and candidate.engine != "ipex":
            return False
        if self.group_size and candidate.engine != "ipex" and candidate.dtype != "int4":
            return False
        return self.scheme in ("auto", candidate.scheme)

    def _applied(self, candidate: Candidate) -> Candidate:
        if not candidate.scheme:
            return candidate
        if self.group_size and candidate.engine == "torch" and self.group_size not in GROUP_SIZES:
            sizes = ", ".join(map(str, GROUP_SIZES))
            raise RequestError(
                f"use groups of {self.group_size} weights on engine torch",
                f"its int4 kernel takes {sizes}",
                "use --group-size 128, or --engine ipex",
            )
        return replace(
            candidate,
            group_size=self.group_size or candidate.group_size,
            lowp_mode=self.lowp_mode or candidate.lowp_mode,
        )


DEFAULT_FORM = QuantizedForm()
"""Nothing asked: every candidate as it is."""
