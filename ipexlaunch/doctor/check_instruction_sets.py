"""What the instruction sets of this processor mean for each data type.

The table is a summary of measured and read sources (upstream ATen, oneDNN, torchao 0.18, IPEX 2.8): pytorch #146508
(bf16 and fp16 without their instructions), IPEX #178 and #826, pytorch #143187 and #150603 (AMX), torchao #4103.
Flags are spelled as the kernel spells them (arch/x86/include/asm/cpufeatures.h, arch/arm64/kernel/cpuinfo.c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ipexlaunch.doctor.finding import Evidence, Finding, Severity, finding
from ipexlaunch.doctor.host_facts import Facts, require
from ipexlaunch.doctor.host_files_read import Undecidable
from ipexlaunch.models.engines import instruction_sets as sets
from ipexlaunch.models.engines.instruction_sets import InstructionSet, x86_set

CPUINFO = "/proc/cpuinfo"
RELEASE = "/proc/sys/kernel/osrelease"

PATHS = (CPUINFO, RELEASE)

AMX_KERNEL = (5, 16)
"""The first release that gives AMX state to a process that asks (Documentation/arch/x86/xstate.rst)."""

X86_FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16")
AMX_FLAGS = ("amx_tile", "amx_int8", "amx_bf16", "amx_fp16")
ARM_FLAGS = ("asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "svebf16", "sme")
"""What is shown of the flags, in this order."""

AMX_MODELS = {("GenuineIntel", 6, model) for model in (143, 207, 173, 174)}
"""Sapphire Rapids, Emerald Rapids, Granite Rapids and Granite Rapids D: arch/x86/include/asm/intel-family.h."""

AVX512_MODELS = AMX_MODELS | {("GenuineIntel", 6, model) for model in (85, 106, 108)}
"""And Skylake, Cascade Lake, Cooper Lake (85) and Ice Lake servers."""


class DtypeSupport(NamedTuple):
    """How one data type fares on a class of processors."""

    dtype: str
    text: str
    remedy: str = ""
    """Empty where all is in order."""
    costly: bool = False
    """Where not: whether that is a warning or only a note."""

    @property
    def severity(self) -> Severity:
        """As findings have it."""
        return "warning" if self.costly else "note" if self.remedy else "ok"


_BF16_FASTER = DtypeSupport("fp32", "works, and bf16 is faster")
_SLOW_FP16 = "is slow: every product is converted to fp32 and back"
_AMX_ROWS = (
    _BF16_FASTER,
    DtypeSupport("bf16", "is the fastest default, by AMX"),
    DtypeSupport("int8", "is fast by AMX; compiled with max-autotune two to three times oneDNN's own"),
    DtypeSupport("int4", "is fast by AMX for batches above 4 (torch.compile, bf16 activations)"),
    DtypeSupport("IPEX int8 and int4 weights", "are fast: the kernels of IPEX 2.8 are built for these instructions"),
)
_IPEX_SLOW = DtypeSupport(
    "IPEX int8 and int4 weights",
    "are slow: without avx512_fp16 IPEX 2.8 unpacks every weight at each call (up to 9 times slower than fp32)",
    "use torchao, or no weight-only quantisation",
)
_WITH_VNNI = (
    DtypeSupport("int8", "is fast with torch 2.12 and torchao 0.18 or later; earlier ones take a slow path"),
    DtypeSupport("int4", "is vectorised for bf16 activations only (weights int4, torch.compile)"),
    _IPEX_SLOW,
)
_FP32 = "use fp32"

X86_DTYPES: Mapping[InstructionSet, tuple[DtypeSupport, ...]] = {
    sets.AMX_FP16: (*_AMX_ROWS, DtypeSupport("fp16", "is fast by AMX (torch.compile needs gcc 13 or later)")),
    sets.AMX: (*_AMX_ROWS, DtypeSupport("fp16", "works by avx512_fp16, and bf16 is faster")),
    sets.AVX512_BF16: (
        _BF16_FASTER,
        DtypeSupport("bf16", "is fast, by avx512_bf16"),
        DtypeSupport("fp16", _SLOW_FP16, "use bf16"),
        *_WITH_VNNI,
    ),
    sets.AVX512_VNNI: (
        DtypeSupport("fp32", "is a good default"),
        DtypeSupport("bf16", "is slow to neutral: emulated, no avx512_bf16", _FP32),
        DtypeSupport("fp16", _SLOW_FP16, _FP32),
        *_WITH_VNNI,
    ),
    sets.AVX512: (
        DtypeSupport("fp32", "is the best choice here"),
        DtypeSupport("bf16", "is slow: emulated, about half the speed of fp32", _FP32),
        DtypeSupport("fp16", _SLOW_FP16, _FP32),
        DtypeSupport("int8", "is slow to neutral, and needs reduced range against saturation", _FP32),
        DtypeSupport("int4", "is vectorised for bf16 activations only, which are slow here", _FP32),
        _IPEX_SLOW,
    ),
    sets.AVX2: (
        DtypeSupport("fp32", "is the only fast type here"),
        DtypeSupport("bf16", "is 44 to 499 times slower than fp32 (no bf16 instructions)", _FP32, costly=True),
        DtypeSupport("fp16", "is 65 to 503 times slower than fp32 (no fp16 instructions)", _FP32, costly=True),
        DtypeSupport("int8", "is slow, and needs reduced range against saturation", _FP32),
        DtypeSupport("int4", "needs bf16 activations, which are catastrophic here", _FP32, costly=True),
        _IPEX_SLOW,
    ),
    sets.NO_AVX2: (
        DtypeSupport("fp32", "is the only usable type here"),
        DtypeSupport("bf16", "has no instructions here: far slower than fp32", _FP32, costly=True),
        DtypeSupport("fp16", "has no instructions here: far slower than fp32", _FP32, costly=True),
        DtypeSupport("int8", "has no vector instructions here: slower than fp32", _FP32, costly=True),
        DtypeSupport("int4", "has no vector kernel here: slower than fp32", _FP32, costly=True),
    ),
}
"""How the data types fare on each of x86's sets."""

_MEASURE = "measure before you choose it: nobody's figures are known to us"


def check_instruction_sets(facts: Facts) -> Finding:
    """Which instruction sets for inference the kernel offers."""
    flags, key = _flags(facts)
    present = [flag for flag in (*X86_FLAGS, *AMX_FLAGS, *ARM_FLAGS) if flag in flags]
    seen = [Evidence(CPUINFO, f"{key}: {' '.join(present) or 'none that matter'}")]
    if key == "Features":
        name = "SVE" if "sve" in flags else "Advanced SIMD" if "asimd" in flags else "no vector unit"
        return finding("ok", f"ARM with {name}", *seen)
    model = _model(facts)
    seen.append(Evidence(CPUINFO, "{} family {} model {}".format(*model)))
    if _should_have_avx512(model) and "avx512f" not in flags:
        return finding(
            "problem",
            "This processor has AVX-512, but the hypervisor, firmware or kernel hides it",
            *seen,
            remedy="pass the host's cpu model through to the guest, or remove clearcpuid from the kernel's line",
            command="tr ' ' '\\n' < /proc/cmdline | grep clearcpuid",
        )
    return finding("ok", f"Processor class: {x86_set(flags).name}", *seen)


def check_amx(facts: Facts) -> Finding:
    """Whether a worker that asks for AMX gets it."""
    flags, key = _flags(facts)
    release = facts.files.read(RELEASE)
    if key == "Features":
        return finding("ok", "AMX is an x86 matter", Evidence(CPUINFO, "Features (ARM)"))
    amx = [flag for flag in AMX_FLAGS if flag in flags]
    seen = Evidence(CPUINFO, f"flags: {' '.join(amx) or 'no amx_tile'}")
    model = _model(facts)
    if not amx:
        if model in AMX_MODELS:
            return finding(
                "problem",
                "This processor has AMX, but the hypervisor, firmware or kernel hides it: bf16 and int8 are far slower",
                seen,
                Evidence(CPUINFO, "{} family {} model {}".format(*model)),
                remedy="pass the host's cpu model through to the guest, and boot a kernel of 5.16 or later",
                command="uname -r; tr ' ' '\\n' < /proc/cmdline | grep clearcpuid",
            )
        return finding("ok", "This processor has no AMX", seen)
    numbers = release.require_text().split(".")[:2]
    if len(numbers) < 2 or not all(part.isdecimal() for part in numbers):
        raise Undecidable("it is no kernel release", release.evidence)
    if tuple(map(int, numbers)) < AMX_KERNEL:
        return finding(
            "problem",
            "The processor has AMX, but this kernel cannot give its state to a process",
            seen,
            release.evidence,
            remedy="boot a kernel of 5.16 or later",
        )
    refusal = require(facts.amx_refusal)
    asked = Evidence("arch_prctl(ARCH_REQ_XCOMP_PERM)", refusal or "granted to this process")
    if not refusal:
        return finding(
            "ok", "AMX is there, and the kernel gives it to a process that asks, as oneDNN does", seen, asked
        )
    return finding(
        "problem",
        "The processor has AMX, but the kernel refuses it to a process that asks",
        seen,
        asked,
        release.evidence,
        remedy="allow arch_prctl in the container's seccomp profile, or run a sandbox that knows AMX",
    )


def check_dtypes(facts: Facts) -> Sequence[Finding]:
    """What the instruction sets mean for each data type, one line each."""
    flags, key = _flags(facts)
    if key == "Features":
        return _arm_dtypes(flags)
    kind = x86_set(flags)
    seen = Evidence(CPUINFO, f"class {kind.name}")
    return [finding(row.severity, f"{row.dtype} {row.text}", seen, remedy=row.remedy) for row in X86_DTYPES[kind]]


def _arm_dtypes(flags: frozenset[str]) -> list[Finding]:
    found = []
    for dtype, wanted in (("bf16", {"bf16", "svebf16"}), ("fp16", {"asimdhp"}), ("int8", {"i8mm", "svei8mm"})):
        have = sorted(wanted & flags)
        seen = Evidence(CPUINFO, f"Features: {' '.join(have) or 'none of ' + ' '.join(sorted(wanted))}")
        row = DtypeSupport(dtype, "has its instructions here", _MEASURE)
        if not have:
            row = DtypeSupport(dtype, "has no instructions here, so it is emulated", _FP32, costly=True)
        found.append(finding(row.severity, f"{dtype} {row.text}", seen, remedy=row.remedy))
    return [finding("ok", "fp32 works", Evidence(CPUINFO, "Features")), *found]


def _flags(facts: Facts) -> tuple[frozenset[str], str]:
    """(flags of the first processor, the key they stand under: "flags" on x86, "Features" on ARM)."""
    reading = facts.files.read(CPUINFO)
    lines = dict(reversed([line.partition(":")[::2] for line in reading.require_text().splitlines()]))
    keys = {key.strip(): value for key, value in lines.items()}
    for key, sign in (("flags", "vendor_id"), ("Features", "CPU implementer")):
        if key in keys and sign in keys:  # other architectures have a line "features" with words of their own
            return frozenset(keys[key].split()), key
    raise Undecidable(
        "it has no flags of x86 and no Features of ARM", Evidence(CPUINFO, "no line 'flags' or 'Features'")
    )


def _model(facts: Facts) -> tuple[str, int, int]:
    reading = facts.files.read(CPUINFO)
    vendor, family, model = (reading.require_field(name) for name in ("vendor_id", "cpu family", "model"))
    if not family.isdecimal() or not model.isdecimal():
        raise Undecidable("cpu family or model is no number", Evidence(CPUINFO, f"family {family} model {model}"))
    return vendor, int(family), int(model)


def _should_have_avx512(model: tuple[str, int, int]) -> bool:
    vendor, family, number = model
    zen4_or_later = vendor == "AuthenticAMD" and (
        family > 25 or (family == 25 and (0x10 <= number <= 0x1F or 0x60 <= number <= 0x7F or 0xA0 <= number <= 0xAF))
    )  # init_amd() in arch/x86/kernel/cpu/amd.c
    return zen4_or_later or model in AVX512_MODELS
