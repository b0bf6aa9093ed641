"""Words of proc/cpuinfo that are known: flags of instruction sets, and names of Arm's processors."""

from __future__ import annotations

_X86 = """
sse4_2 avx f16c fma avx2 avx512f avx512cd avx512bw avx512dq avx512vl avx512ifma avx512vbmi avx512_vbmi2 avx512_vnni
avx512_bitalg avx512_vpopcntdq avx512_bf16 avx512_fp16 avx512_vp2intersect avx_vnni avx_vnni_int8 avx_vnni_int16
avx_ifma avx_ne_convert avx10 amx_tile amx_int8 amx_bf16 amx_fp16 amx_complex amx_tf32 amx_avx512 amx_fp8 amx_movrs
amx_transpose gfni vaes
"""
X86_FLAGS = frozenset(_X86.split())
"""Source: arch/x86/include/asm/cpufeatures.h; Intel's and AMD's instruction set references."""

_ARM = """
neon asimd fphp asimdhp asimdrdm asimddp asimdfhm fcma bf16 i8mm sve sve2 sve2p1 svei8mm svef32mm svef64mm svebf16
sveebf16 sveb16b16 sme sme2 sme2p1 smei8i32 smei16i32 smebi32i32 smef16f32 smeb16f32 smef32f32 smef64f64 smefa64
smeb16b16 smef16f16 smelutv2 f8cvt f8mm4 f8mm8 f8fma f8dp4 f8dp2
"""
ARM_FLAGS = frozenset(_ARM.split())
"""Source: Documentation/arch/arm64/elf_hwcaps.rst; arch/arm64/kernel/cpuinfo.c."""

ARM_PARTS = {
    ("0x41", "0xd03"): "Arm Cortex-A53",
    ("0x41", "0xd07"): "Arm Cortex-A57",
    ("0x41", "0xd08"): "Arm Cortex-A72",
    ("0x41", "0xd0c"): "Arm Neoverse-N1",
    ("0x41", "0xd40"): "Arm Neoverse-V1",
    ("0x41", "0xd49"): "Arm Neoverse-N2",
    ("0x41", "0xd4f"): "Arm Neoverse-V2",
    ("0x41", "0xd84"): "Arm Neoverse-V3",
    ("0x41", "0xd8e"): "Arm Neoverse-N3",
    ("0x43", "0x0a1"): "Cavium ThunderX",
    ("0x43", "0x0af"): "Cavium ThunderX2",
    ("0x46", "0x001"): "Fujitsu A64FX",
    ("0x48", "0xd01"): "HiSilicon TSV110",
    ("0x48", "0xd02"): "HiSilicon TSV200",
    ("0x50", "0x000"): "APM X-Gene",
    ("0xc0", "0xac3"): "Ampere-1",
    ("0xc0", "0xac4"): "Ampere-1A",
}
"""Implementer and part of MIDR_EL1. Source: arch/arm64/include/asm/cputype.h."""
