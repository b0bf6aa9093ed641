"""The cpu's name, its instruction-set flags, and one old quirk, from the first block of proc/cpuinfo.

Kinds of cores on hybrid machines, and the signs of them where the kernel tells no kinds.

Source: Documentation/ABI/testing/sysfs-devices-system-cpu (cpu_capacity, cpuinfo_max_freq) and the event sources
cpu_core and cpu_atom of arch/x86/events/intel/core.c.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ipexlaunch.machine.cpulist import CPU, printable
from ipexlaunch.machine.probe.tree import Tree
from ipexlaunch.machine.topology import Cpu, Kind, group_by

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


CAPACITY_MARGIN = (1078, 1024)
"""A cpu is of a larger kind where its capacity is more than 5 % larger (capacity_greater, kernel/sched/fair.c)."""

EFFICIENT_PMUS = ("cpu_atom", "cpu_lowpower")

SLOWER = 0.8
"""Of the largest maximum frequency: favoured cores of one kind stay above it (5.0 of 5.9 GHz on a Ryzen 7950X),
efficiency cores below (3.5 of 4.8 GHz on a Core i7-1270P, 3.9 of 5.2 on an i9-12900K)."""

MOST_CORES_ASKED = 64
"""Frequencies are read on machines of one socket with no more cores: no hybrid one is larger."""


def read_kinds(tree: Tree, order: Sequence[int], online: frozenset[int]) -> dict[int, Kind]:
    """Kinds by Intel's hybrid PMUs, or by cpu_capacity; never by a clock rate, which turbo and binning change."""
    fast = tree.optional_ids("sys/devices/cpu_core/cpus")
    slow = [ids for pmu in EFFICIENT_PMUS if (ids := tree.optional_ids(f"sys/devices/{pmu}/cpus")) is not None]
    if fast is not None or slow:
        efficient = frozenset().union(*slow) & online
        performant = (fast or frozenset()) & online
        stray = online - efficient - performant
        if stray:
            missing = "cpu_core" if fast is None else EFFICIENT_PMUS[0]
            raise tree.problem(f"sys/devices/{missing}/cpus", f"neither it nor its counterpart names cpu {min(stray)}")
        if not efficient or not performant:
            return {}
        return {cpu: "efficiency" if cpu in efficient else "performance" for cpu in order}
    if not any(tree.has(f"{CPU}/cpu{cpu}/cpu_capacity") for cpu in (order[0], order[-1])):
        return {}
    capacity = {cpu: tree.number(f"{CPU}/cpu{cpu}/cpu_capacity") for cpu in order}
    larger, smaller = CAPACITY_MARGIN
    bar = max(capacity.values()) * smaller
    if all(bar <= value * larger for value in capacity.values()):
        return {}
    return {cpu: "efficiency" if bar > value * larger else "performance" for cpu, value in capacity.items()}


def hybrid_signs(tree: Tree, cpus: Sequence[Cpu], hidden: bool) -> str:
    """What shows that cores differ where the kernel tells no kinds; empty where nothing does.

    Args:
        tree: where to read.
        cpus: the online ones.
        hidden: whether some cpus of the machine are offline or not shown: caches are then shared by fewer cores.
    """
    if any(cpu.kind is not None for cpu in cpus):
        return ""
    caches = group_by((cpu for cpu in cpus if cpu.l2 is not None), lambda cpu: cpu.l2)
    shared = Counter(len({cpu.core for cpu in some}) for some in caches.values())
    if len(shared) > 1 and not hidden:
        sizes = ", ".join(f"{count} by {size} core{'s' * (size > 1)} each" for size, count in sorted(shared.items()))
        return f"L2 caches are shared unlike: {sizes}"
    cores = sorted({cpu.core for cpu in cpus})
    if len({cpu.socket for cpu in cpus}) > 1 or len(cores) > MOST_CORES_ASKED:
        return ""
    rates = [rate for core in cores if (rate := _maximum_khz(tree, core))]
    if rates and min(rates) < SLOWER * max(rates):
        return f"maximum frequencies go from {min(rates) / 1e6:.2g} to {max(rates) / 1e6:.2g} GHz"
    return ""


def _maximum_khz(tree: Tree, cpu: int) -> int | None:
    """None where it is not told; a hint is not worth an error."""
    text = tree.beginning(f"{CPU}/cpu{cpu}/cpufreq/cpuinfo_max_freq", 24) or b""
    digits = text.strip(b"\0\n ")
    return int(digits) if digits.isdigit() else None
