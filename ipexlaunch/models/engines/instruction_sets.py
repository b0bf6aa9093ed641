"""What a processor can do for inference, as far as torch and oneDNN are allowed to use it.

Flags are spelled as the kernel spells them. A class is a set of flags; two variables of the workers' environment take
flags away again, as an administrator does to compare, and as tests do to stand in for an older processor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """Processors whose dtypes fare alike: those that have all `flags`."""

    name: str
    flags: frozenset[str]


_AMX = frozenset({"amx_tile", "amx_bf16", "amx_int8", "avx512_fp16"})

AMX_FP16 = InstructionSet("AMX with fp16 tiles", _AMX | {"amx_fp16"})
AMX = InstructionSet("AMX and AVX512_FP16", _AMX)
AVX512_BF16 = InstructionSet("AVX-512 with VNNI and BF16", frozenset({"avx512f", "avx512_vnni", "avx512_bf16"}))
AVX512_VNNI = InstructionSet("AVX-512 with VNNI", frozenset({"avx512f", "avx512_vnni"}))
AVX512 = InstructionSet("AVX-512 without VNNI", frozenset({"avx512f"}))
AVX2 = InstructionSet("AVX2 only", frozenset({"avx2"}))
NO_AVX2 = InstructionSet("no AVX2", frozenset())

X86 = (AMX_FP16, AMX, AVX512_BF16, AVX512_VNNI, AVX512, AVX2, NO_AVX2)
"""Most capable first; the first whose flags are all there is the processor's."""

EVERYTHING = AMX_FP16.flags | AVX512_BF16.flags | AVX2.flags | {"fma"}
"""For a machine of which nothing is known, such as one that a sentence describes."""

ARM_SVE = InstructionSet("ARM with SVE", frozenset({"asimd", "sve"}))
ARM = InstructionSet("ARM with Advanced SIMD", frozenset({"asimd"}))


def x86_set(flags: frozenset[str]) -> InstructionSet:
    """The class of an x86 processor.

    Args:
        flags: the kernel's flags.
    """
    return next(each for each in X86 if each.flags <= flags)


def instruction_set(flags: frozenset[str]) -> InstructionSet:
    """The class of a processor of either architecture; "no AVX2" where nothing is known.

    Args:
        flags: the kernel's flags.
    """
    return next((each for each in (ARM_SVE, ARM) if each.flags <= flags), x86_set(flags))


_BEYOND_AVX2 = ("avx512", "amx_", "avx10", "avx_vnni", "avx_ne_convert", "avx_ifma")
_BEYOND_AVX512 = ("avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_", "avx_vnni", "avx_ne_convert")
_BEYOND_VNNI = ("avx512_bf16", "avx512_fp16", "amx_")
_BEYOND_BF16 = ("avx512_fp16", "amx_")

ATEN_CAPS: Mapping[str, tuple[str, ...]] = {
    "default": ("avx2", "fma", *_BEYOND_AVX2),
    "avx2": _BEYOND_AVX2,
    "avx2_vnni": ("avx512", "amx_", "avx10", "avx_ne_convert"),
    "avx512": _BEYOND_AVX512,
    "avx512_vnni": _BEYOND_VNNI,
    "avx512_bf16": _BEYOND_BF16,
    "amx": ("avx512_fp16", "amx_fp16"),
}
"""ATEN_CPU_CAPABILITY to the beginnings of the flags that it takes away.

Sources: compute_cpu_capability() in ATen/native/DispatchStub.cpp knows default, avx2 and avx512; the rest are IPEX's
own (csrc/cpu/isa/cpu_feature.cpp: DEFAULT, AVX2, AVX2_VNNI, AVX512, AVX512_VNNI, AVX512_BF16, AMX, AVX512_FP16). ATen's
avx512 does not hold back what its kernels find by themselves; IPEX takes the word as a limit, and hands it to oneDNN.
"""

ONEDNN_CAPS: Mapping[str, tuple[str, ...]] = {
    "SSE41": ("avx2", "fma", *_BEYOND_AVX2),
    "AVX": ("avx2", "fma", *_BEYOND_AVX2),
    "AVX2": _BEYOND_AVX2,
    "AVX2_VNNI": ("avx512", "amx_", "avx10", "avx_ne_convert", "avx_vnni_int8"),
    "AVX2_VNNI_2": ("avx512", "amx_", "avx10"),
    "AVX512_CORE": _BEYOND_AVX512,
    "AVX512_CORE_VNNI": _BEYOND_VNNI,
    "AVX512_CORE_BF16": _BEYOND_BF16,
    "AVX512_CORE_FP16": ("amx_",),
    "AVX10_1_512": ("amx_",),
    "AVX512_CORE_AMX": ("amx_fp16",),
    "AVX10_1_512_AMX": ("amx_fp16",),
}
"""ONEDNN_MAX_CPU_ISA to the beginnings of the flags that it takes away (oneDNN's page "CPU Dispatcher Control")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """The flags that are left to each library."""

    aten: frozenset[str]
    """For ATen's own kernels and those that torch.compile writes."""
    onednn: frozenset[str]
    """For oneDNN's products of matrices."""
    ipex: frozenset[str]
    """For IPEX's own kernels."""
    onednn_is_capped: bool
    """Whether a variable takes flags from oneDNN that the processor has."""

    @property
    def common(self) -> InstructionSet:
        """The class of what every library may use."""
        return instruction_set(self.aten & self.onednn)


def dispatch(flags: Iterable[str], environment: Mapping[str, str]) -> Dispatch:
    """What each library may use of a processor.

    Args:
        flags: the kernel's flags (`Topology.isa`).
        environment: the workers' variables; a word that a library does not know takes nothing away, as there.
    """
    have = frozenset(flags)
    aten_word = environment.get("ATEN_CPU_CAPABILITY", "").lower()
    # The older spelling of the same variable stands second.
    onednn_word = environment.get("ONEDNN_MAX_CPU_ISA", "") or environment.get("DNNL_MAX_CPU_ISA", "")
    ipex = _without(have, ATEN_CAPS.get(aten_word, ()))
    onednn = _without(have, ONEDNN_CAPS.get(onednn_word.upper(), ()))
    aten = ipex if aten_word in ("default", "avx2") else have
    return Dispatch(aten=aten, onednn=onednn, ipex=ipex, onednn_is_capped=onednn != have)


def _without(flags: frozenset[str], beginnings: tuple[str, ...]) -> frozenset[str]:
    return frozenset(flag for flag in flags if not flag.startswith(beginnings)) if beginnings else flags
