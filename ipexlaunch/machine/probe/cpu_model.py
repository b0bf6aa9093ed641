"""The cpu's name, its instruction-set flags, and one old quirk, from the first block of proc/cpuinfo."""

from __future__ import annotations

from dataclasses import dataclass

from ipexlaunch.machine.probe.kernel_text import printable
from ipexlaunch.machine.probe.tree import Tree

CPUINFO = "proc/cpuinfo"
FIRST_BYTES = 1 << 16
"""Enough for the first cpu's block; the file has 3 MB on a machine with 2,048 cpus."""

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

MODEL_KEYS = ("model name", "Model Name", "cpu", "Processor", "processor 0")
"""As x86, LoongArch, POWER, old ARM and s390 kernels spell it."""

USED_KEYS = (
    *("processor", "vendor_id", "cpu family", "flags", "Features", "features", "CPU implementer", "CPU part"),
    *MODEL_KEYS,
)
"""Everything that is looked at."""

COMPUTE_UNIT_FAMILIES = ("21", "22")
"""AMD families 15h (Bulldozer) and 16h, in decimal as cpuinfo has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuModel:
    """What proc/cpuinfo says of the first cpu."""

    name: str | None
    isa: frozenset[str]
    compute_units: bool
    """Whether the kernel may list the two cores of a module as SMT siblings; it may where nothing tells the cpu."""


def read_cpu_model(tree: Tree) -> CpuModel:
    """Name and flags of the first cpu; nothing of either where a saved tree has no proc/cpuinfo or an empty one."""
    data = tree.beginning(CPUINFO, FIRST_BYTES)
    if data is None and tree.live:
        raise tree.missing(CPUINFO)
    block = first_block(data or b"")
    if data is not None:
        if not block:
            raise tree.problem(CPUINFO, "it has no line 'NAME: VALUE'")
        if b"\0" in data or (len(data) < FIRST_BYTES and not data.endswith(b"\n")):
            raise tree.problem(CPUINFO, "it is cut off or binary")
    words = block.get("flags", block.get("Features", block.get("features", ""))).split()
    known = X86_FLAGS if "flags" in block else ARM_FLAGS
    return CpuModel(
        name=_name(block),
        isa=frozenset(words) & known,
        compute_units=not block
        or (block.get("vendor_id") == "AuthenticAMD" and block.get("cpu family") in COMPUTE_UNIT_FAMILIES),
    )


def first_block(data: bytes) -> dict[str, str]:
    """The lines "KEY : VALUE" up to the second cpu, without repeated or unprintable characters between words."""
    block: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        key, colon, value = line.partition(":")
        key = key.strip()
        if key == "processor" and key in block:
            break
        if colon:
            block.setdefault(key, printable(" ".join(value.split())))
    return block


def _name(block: dict[str, str]) -> str | None:
    for key in MODEL_KEYS:
        if block.get(key) and not block[key].isdecimal():
            return block[key]
    implementer, part = block.get("CPU implementer"), block.get("CPU part")
    if implementer is None or part is None:
        return None
    return ARM_PARTS.get((implementer, part), f"ARM implementer {implementer} part {part}")
