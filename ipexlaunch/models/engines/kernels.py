"""The table: which kernels a dtype has on which instructions, read from their sources and from measured reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ipexlaunch.models.engines.candidate import Dtype, Engine, Scheme

Fares = Literal["fast", "ok", "slow", "unavailable"]
"""fast: kernels made for it; ok: as good as fp32, or better in some shapes; slow: works, and loses to fp32;
unavailable: no kernel or no package, nothing to run."""

Library = Literal["aten", "onednn", "ipex"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: the first that fits a candidate, and whose flags are all there, decides."""

    engines: tuple[Engine, ...]
    dtypes: tuple[Dtype, ...]
    schemes: tuple[Scheme, ...] = ("",)
    library: Library = "onednn"
    """Whose flags count."""
    flags: frozenset[str] = frozenset()
    activations: tuple[str, ...] = ("fp32", "bf16", "fp16")
    fares: Fares
    reason: str
    source: str


_ANY: tuple[Engine, ...] = ("ipex", "torch", "eager")
_PLAIN: tuple[Engine, ...] = ("torch", "eager")
_146508 = "pytorch #146508"
_ATEN_INT4 = "ATen/native/cpu/int4mm_kernel.cpp: tinygemm_kernel is overloaded for bf16 only"
_ATEN_INT8 = "pytorch #148502; ATen/native/cpu/int8mm_kernel.cpp"
_WOQ = (
    "IPEX 2.8 csrc/cpu/aten/kernels/WoqLinearKrnl.cpp: #if defined(CPU_CAPABILITY_AVX512_FP16), else woq_gemm_ref_impl"
)
_WOQ_SLOW = "IPEX #826: int4 nine times slower than fp32"
_BF16_EMULATED = "oneDNN takes bf16 from AVX-512 on and, without its instructions, widens every product to fp32"
_FP16_EMULATED = "every product is converted to fp32 and back"
_BF16_SOURCE = "IPEX #178; " + _ATEN_INT4


def _flags(*names: str) -> frozenset[str]:
    return frozenset(names)


def _rows() -> Iterator[Row]:
    yield Row(engines=("torch",), dtypes=("fp32",), fares="fast", reason="compiled and frozen", source="torch.compile")
    yield Row(engines=("ipex",), dtypes=("fp32",), fares="fast", reason="weights packed once", source="ipex.optimize")
    yield Row(engines=("eager",), dtypes=("fp32",), fares="ok", reason="the reference", source="")
    yield from _bf16()
    yield from _fp16()
    yield from _int8()
    yield from _int4()
    yield from _ipex_weights()


def _bf16() -> Iterator[Row]:
    tiles, dots = "AMX multiplies tiles of bf16", "avx512_bf16 multiplies pairs of bf16"
    yield Row(engines=_ANY, dtypes=("bf16",), flags=_flags("amx_bf16"), fares="fast", reason=tiles, source="oneDNN")
    yield Row(engines=_ANY, dtypes=("bf16",), flags=_flags("avx512_bf16"), fares="fast", reason=dots, source="oneDNN")
    yield Row(
        engines=_ANY,
        dtypes=("bf16",),
        flags=_flags("avx512f"),
        fares="slow",
        reason=_BF16_EMULATED,
        source="IPEX #178: BERT 477 ms in fp32, 924 ms in bf16",
    )
    yield Row(
        engines=_ANY,
        dtypes=("bf16",),
        flags=_flags("avx_ne_convert"),
        fares="ok",
        reason="avx_ne_convert widens bf16 as it is loaded",
        source="oneDNN avx2_vnni_2; IPEX 2.8 onednn_has_bf16_support",
    )
    yield Row(
        engines=("ipex",),
        dtypes=("bf16",),
        fares="unavailable",
        reason="IPEX packs bf16 weights from AVX-512 on only",
        source="intel_extension_for_pytorch/frontend.py: onednn_has_bf16_support",
    )
    yield Row(
        engines=_PLAIN,
        dtypes=("bf16",),
        flags=_flags("asimd", "bf16"),
        fares="ok",
        reason="the processor has bfmmla",
        source="ATen/native/cpu/ReducedPrecisionFloatGemvFastPathKernel.cpp",
    )
    yield Row(
        engines=_PLAIN,
        dtypes=("bf16",),
        fares="slow",
        reason="no kernel has its instructions: 4 to 499 times slower than fp32",
        source=f"{_146508}; 4 times with torch 2.13 held to AVX2",
    )


def _fp16() -> Iterator[Row]:
    yield Row(
        engines=_ANY,
        dtypes=("fp16",),
        flags=_flags("amx_fp16"),
        fares="fast",
        reason="AMX multiplies tiles of fp16",
        source="oneDNN",
    )
    yield Row(
        engines=_ANY,
        dtypes=("fp16",),
        flags=_flags("avx512_fp16"),
        fares="ok",
        reason="avx512_fp16, and bf16 is faster",
        source="oneDNN",
    )
    yield Row(
        engines=("ipex",),
        dtypes=("fp16",),
        fares="unavailable",
        reason="IPEX packs fp16 weights with avx512_fp16 only",
        source="intel_extension_for_pytorch/frontend.py: onednn_has_fp16_support",
    )
    yield Row(
        engines=_PLAIN, dtypes=("fp16",), flags=_flags("avx512f"), fares="slow", reason=_FP16_EMULATED, source=_146508
    )
    yield Row(
        engines=_PLAIN,
        dtypes=("fp16",),
        flags=_flags("asimd", "asimdhp"),
        fares="ok",
        reason="the processor has half-precision arithmetic",
        source="ATen/native/cpu/ReducedPrecisionFloatGemvFastPathKernel.cpp",
    )
    yield Row(
        engines=_PLAIN,
        dtypes=("fp16",),
        fares="slow",
        reason="no kernel has its instructions: 4 to 503 times slower than fp32",
        source=f"{_146508}; 4 times with torch 2.13 held to AVX2",
    )


def _int8() -> Iterator[Row]:
    torch_only: tuple[Engine, ...] = ("torch",)
    for flag, fares, reason, source in (
        ("amx_int8", "fast", "AMX multiplies tiles of int8", "pytorch #143187"),
        ("avx512_vnni", "fast", "VNNI multiplies u8 by s8", "torchao #4103"),
        ("avx_vnni", "ok", "VNNI of 256 bits multiplies u8 by s8", "oneDNN"),
        (
            "avx512f",
            "slow",
            "no VNNI: products of int8 go through int16 and can saturate",
            "torchao should_reduce_range",
        ),
        ("i8mm", "ok", "the processor has smmla", "oneDNN with Compute Library"),
    ):
        yield Row(
            engines=torch_only,
            dtypes=("int8",),
            schemes=("dynamic",),
            flags=_flags(flag),
            fares=fares,  # type: ignore[arg-type]  # each is one of the words
            reason=reason,
            source=source,
        )
    yield Row(
        engines=torch_only,
        dtypes=("int8",),
        schemes=("dynamic",),
        fares="slow",
        reason="no instruction for products of int8",
        source="torchao should_reduce_range",
    )
    yield from _int8_weights()


def _int8_weights() -> Iterator[Row]:
    helps = "weights are widened in the kernel: helps where reading them is the limit, as when decoding"
    for flags, activations in (
        (_flags("amx_bf16"), ("bf16", "fp32")),
        (_flags("avx512_bf16"), ("bf16", "fp32")),
        (_flags("avx2"), ("fp32",)),
        (_flags("asimd"), ("fp32",)),
    ):
        yield Row(
            engines=("torch",),
            dtypes=("int8",),
            schemes=("weight-only",),
            library="aten",
            flags=flags,
            activations=activations,
            fares="ok",
            reason=helps,
            source=_ATEN_INT8,
        )
    yield Row(
        engines=("torch",),
        dtypes=("int8",),
        schemes=("weight-only",),
        library="aten",
        fares="slow",
        reason="its activations have no instructions here",
        source=_146508,
    )


def _int4() -> Iterator[Row]:
    torch_only: tuple[Engine, ...] = ("torch",)
    yield Row(
        engines=torch_only,
        dtypes=("int4",),
        schemes=("dynamic",),
        fares="unavailable",
        reason="torchao's wheel has no kernel of int8 activations with int4 weights for x86",
        source="torchao 0.18 packaging/env_var_script_linux.sh: USE_CPU_KERNELS=1 for aarch64 only",
    )
    yield Row(
        engines=torch_only,
        dtypes=("int4",),
        schemes=("weight-only",),
        library="aten",
        activations=("fp32", "fp16"),
        fares="slow",
        reason="only bf16 activations have a vector kernel, others a loop over single numbers",
        source=_ATEN_INT4,
    )
    for flag, fares, reason, source in (
        ("amx_bf16", "fast", "AMX for more than four rows", "pytorch #150603, #155444"),
        ("avx512_bf16", "ok", "unpacked every four rows: helps when decoding, not with long inputs", _ATEN_INT4),
        ("avx512f", "slow", "the rest of the network runs in bf16, which is emulated here", _BF16_SOURCE),
    ):
        yield Row(
            engines=torch_only,
            dtypes=("int4",),
            schemes=("weight-only",),
            library="aten",
            flags=_flags(flag),
            fares=fares,  # type: ignore[arg-type]  # each is one of the words
            reason=reason,
            source=source,
        )
    yield Row(
        engines=torch_only,
        dtypes=("int4",),
        schemes=("weight-only",),
        library="aten",
        fares="slow",
        reason="the rest of the network runs in bf16, which has no instructions here",
        source=_146508,
    )


def _ipex_weights() -> Iterator[Row]:
    yield Row(
        engines=("ipex",),
        dtypes=("int8", "int4"),
        schemes=("weight-only",),
        library="ipex",
        flags=_flags("avx512_fp16"),
        fares="fast",
        reason="IPEX's kernels are built for avx512_fp16",
        source=_WOQ,
    )
    yield Row(
        engines=("ipex",),
        dtypes=("int8", "int4"),
        schemes=("weight-only",),
        library="ipex",
        fares="slow",
        reason="without avx512_fp16 IPEX unpacks every weight at each call, VNNI or not",
        source=f"{_WOQ}; {_WOQ_SLOW}",
    )


TABLE: tuple[Row, ...] = tuple(_rows())
"""In the order in which it is searched."""
