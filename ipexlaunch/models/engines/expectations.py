"""What is known of each candidate before anything is measured: software, instruction set x engine x numbers -> verdict.

The table is read from kernels and measured reports, and each row says which. It decides what is not tried (no kernel,
no package) and what `--dtype auto` leaves out; what is asked for by name is measured: a table does not know the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.instruction_sets import Dispatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """Versions as their packages tell them; "" for what is not installed."""

    torch: str = ""
    ipex: str = ""
    torchao: str = ""
    transformers: str = ""
    openvino: str = ""
    nncf: str = ""
    zentorch: str = ""
    adding: str = 'pip install "ipexlaunch[EXTRA]"'
    """The command that adds an extra, whose name stands for EXTRA."""

    @property
    def words(self) -> str:
        """For messages: "torch 2.8.0, ipex 2.8.0"."""
        pairs = ((name, getattr(self, name)) for name in ("torch", "ipex", "torchao", "openvino", "zentorch"))
        return ", ".join(f"{name} {version}" for name, version in pairs if version) or "no torch"


PACKAGES = {
    "torch": "torch",
    "ipex": "intel-extension-for-pytorch",
    "torchao": "torchao",
    "transformers": "transformers",
    "openvino": "openvino",
    "nncf": "nncf",
    "zentorch": "zentorch",
}
"""Field of Software to the normalised name on the package index."""


def at_least(version: str, wanted: tuple[int, int]) -> bool:
    """Whether a version is that release or a later one; "" is none, and "2.13.0+cpu" is 2.13.

    Args:
        version: as the package tells it.
        wanted: major and minor.
    """
    match = re.match(r"(\d+)\.(\d+)", version)
    return match is not None and (int(match[1]), int(match[2])) >= wanted


Fares = Literal["fast", "ok", "slow", "unavailable"]
"""fast: kernels made for it; ok: as good as fp32, or better in some shapes; slow: works, and loses to fp32;
unavailable: no kernel or no package, nothing to run."""

_HELPS = "weights are widened in the kernel: helps where reading them is the limit, as when decoding"
_INT8 = "ATen/native/cpu/int8mm_kernel.cpp"
_INT4 = "ATen/native/cpu/int4mm_kernel.cpp: tinygemm_kernel is overloaded for bf16 only"
_WOQ = (
    "IPEX 2.8 csrc/cpu/aten/kernels/WoqLinearKrnl.cpp: #if defined(CPU_CAPABILITY_AVX512_FP16), else woq_gemm_ref_impl"
)

_OV = "OpenVINO 2026.4, OPTIMIZATION_CAPABILITIES"
_NNCF = "nncf overflow_fix: without VNNI weights keep 7 bits"

_ROWS = f"""
torch            fp32              onednn -           any       fast | compiled and frozen | torch.compile
ipex             fp32              onednn -           any       fast | weights packed once | ipex.optimize
eager            fp32              onednn -           any       ok   | the reference |

ipex,torch,eager bf16              onednn amx_bf16    any       fast | AMX multiplies tiles of bf16 | oneDNN
ipex,torch,eager bf16              onednn avx512_bf16 any       fast | avx512_bf16 multiplies pairs of bf16 | oneDNN
ipex,torch,eager bf16              onednn avx512f     any       slow
  | oneDNN takes bf16 from AVX-512 on and, without its instructions, widens every product to fp32
  | IPEX #178: BERT 477 ms in fp32, 924 ms in bf16
ipex,torch,eager bf16              onednn avx_ne_convert any    ok
  | avx_ne_convert widens bf16 as it is loaded | oneDNN avx2_vnni_2; IPEX 2.8 onednn_has_bf16_support
ipex             bf16              onednn -           any       unavailable
  | IPEX packs bf16 weights from AVX-512 on only | intel_extension_for_pytorch/frontend.py: onednn_has_bf16_support
torch,eager      bf16              onednn asimd,bf16  any       ok
  | the processor has bfmmla | ATen/native/cpu/ReducedPrecisionFloatGemvFastPathKernel.cpp
torch,eager      bf16              onednn -           any       slow
  | no kernel has its instructions: 4 to 499 times slower than fp32
  | pytorch #146508; 4 times with torch 2.13 held to AVX2

ipex,torch,eager fp16              onednn amx_fp16    any       fast | AMX multiplies tiles of fp16 | oneDNN
ipex,torch,eager fp16              onednn avx512_fp16 any       ok   | avx512_fp16, and bf16 is faster | oneDNN
ipex             fp16              onednn -           any       unavailable
  | IPEX packs fp16 weights with avx512_fp16 only | intel_extension_for_pytorch/frontend.py: onednn_has_fp16_support
torch,eager      fp16              onednn avx512f     any       slow
  | every product is converted to fp32 and back | pytorch #146508
torch,eager      fp16              onednn asimd,asimdhp any     ok
  | the processor has half-precision arithmetic | ATen/native/cpu/ReducedPrecisionFloatGemvFastPathKernel.cpp
torch,eager      fp16              onednn -           any       slow
  | no kernel has its instructions: 4 to 503 times slower than fp32
  | pytorch #146508; 4 times with torch 2.13 held to AVX2

torch            int8/dynamic      onednn amx_int8    any       fast | AMX multiplies tiles of int8 | pytorch #143187
torch            int8/dynamic      onednn avx512_vnni any       fast | VNNI multiplies u8 by s8 | torchao #4103
torch            int8/dynamic      onednn avx_vnni    any       ok   | VNNI of 256 bits multiplies u8 by s8 | oneDNN
torch            int8/dynamic      onednn avx512f     any       slow
  | no VNNI: products of int8 go through int16 and can saturate | torchao should_reduce_range
torch            int8/dynamic      onednn i8mm        any       ok
  | the processor has smmla | oneDNN with Compute Library
torch            int8/dynamic      onednn -           any       slow
  | no instruction for products of int8 | torchao should_reduce_range
torch            int8/weight-only  aten   amx_bf16    bf16,fp32 ok   | {_HELPS} | pytorch #148502; {_INT8}
torch            int8/weight-only  aten   avx512_bf16 bf16,fp32 ok   | {_HELPS} | pytorch #148502; {_INT8}
torch            int8/weight-only  aten   avx2        fp32      ok   | {_HELPS} | pytorch #148502; {_INT8}
torch            int8/weight-only  aten   asimd       fp32      ok   | {_HELPS} | pytorch #148502; {_INT8}
torch            int8/weight-only  aten   -           any       slow
  | its activations have no instructions here | pytorch #146508

torch            int4/dynamic      onednn -           any       unavailable
  | torchao's wheel has no kernel of int8 activations with int4 weights for x86
  | torchao 0.18 packaging/env_var_script_linux.sh: USE_CPU_KERNELS=1 for aarch64 only
torch            int4/weight-only  aten   -           fp32,fp16 slow
  | only bf16 activations have a vector kernel, others a loop over single numbers | {_INT4}
torch            int4/weight-only  aten   amx_bf16    any       fast
  | AMX for more than four rows | pytorch #150603, #155444
torch            int4/weight-only  aten   avx512_bf16 any       ok
  | unpacked every four rows: helps when decoding, not with long inputs | {_INT4}
torch            int4/weight-only  aten   avx512f     any       slow
  | the rest of the network runs in bf16, which is emulated here | IPEX #178; {_INT4}
torch            int4/weight-only  aten   -           any       slow
  | the rest of the network runs in bf16, which has no instructions here | pytorch #146508
openvino         fp32              onednn -           any       fast
  | one program for all shapes | openvino.convert_model
openvino         bf16              onednn amx_bf16    any       fast | AMX multiplies tiles of bf16 | {_OV}
openvino         bf16              onednn avx512_bf16 any       fast | avx512_bf16 multiplies pairs of bf16 | {_OV}
openvino         bf16              onednn avx_ne_convert any    ok
  | avx_ne_convert widens bf16 as it is loaded | {_OV}
openvino         bf16              onednn -           any       unavailable
  | without instructions for bf16 OpenVINO runs fp32 and does not say so | {_OV}
openvino         int8-calibrated/static onednn amx_int8 any     fast | AMX multiplies tiles of int8 | {_OV}
openvino         int8-calibrated/static onednn avx512_vnni any  fast | VNNI multiplies u8 by s8 | {_OV}
openvino         int8-calibrated/static onednn avx_vnni any     fast | VNNI of 256 bits multiplies u8 by s8 | {_OV}
openvino         int8-calibrated/static onednn avx2   any       ok   | products of int8 go through int16 | {_NNCF}
openvino         int8-calibrated/static onednn i8mm   any       ok
  | the processor has smmla | oneDNN with Compute Library
openvino         int8/dynamic,int4/dynamic onednn amx_bf16 bf16 ok
  | weights are widened, and AMX multiplies tiles of bf16 | openvino #35726
openvino         int8/dynamic,int4/dynamic onednn avx512_vnni any ok
  | VNNI multiplies u8 by s8, quantised call by call | {_OV}
openvino         int8/dynamic,int4/dynamic onednn avx2 any      ok   | {_HELPS} | {_OV}
openvino         int8-calibrated/static,int8/dynamic,int4/dynamic onednn - any slow
  | no instruction for products of int8 | {_OV}

ipex   int8/weight-only,int4/weight-only ipex avx512_fp16 any   fast
  | IPEX's kernels are built for avx512_fp16 | {_WOQ}
ipex   int8/weight-only,int4/weight-only ipex -       any       slow
  | without avx512_fp16 IPEX unpacks every weight at each call, VNNI or not
  | {_WOQ}; IPEX #826: int4 nine times slower than fp32
"""
"""Engines, numbers, the library whose flags count, flags, activations, how it fares | why | who says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """How a candidate fares on a host, and who says so."""

    fares: Fares
    reason: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the first that fits a candidate, and whose flags are all there, decides."""

    engines: list[str]
    numbers: list[str]
    library: str
    """Whose flags count: aten, onednn or ipex."""
    flags: list[str]
    """Of the processor; "-" for none."""
    activations: list[str]
    expectation: Expectation

    def fits(self, candidate: Candidate, dispatch: Dispatch) -> bool:
        """Whether it is of this candidate, on a processor with these flags."""
        numbers = f"{candidate.dtype}/{candidate.scheme}" if candidate.scheme else candidate.dtype
        # oneDNN multiplies what the library does not.
        flags: frozenset[str] = getattr(dispatch, self.library) & dispatch.onednn
        return (
            candidate.engine in self.engines
            and numbers in self.numbers
            and not {"any", candidate.activations}.isdisjoint(self.activations)
            and (flags | {"-"}).issuperset(self.flags)
        )


def _row(line: str) -> Row:
    head, reason, source = (part.strip() for part in line.split("|"))
    engines, numbers, library, flags, activations, fares = head.split()
    told: Any = {"fares": fares, "reason": reason, "source": source}
    found = Expectation(**told)
    return Row(engines.split(","), numbers.split(","), library, flags.split(","), activations.split(","), found)


TABLE = tuple(map(_row, filter(None, _ROWS.replace("\n  |", " |").splitlines())))
"""In the order in which it is searched."""


def expect(candidate: Candidate, dispatch: Dispatch, software: Software, hidden_size: int | None = None) -> Expectation:
    """How a candidate fares with these instructions and packages.

    Args:
        candidate: what would run.
        dispatch: what each library may use of the processor.
        software: what the workers' interpreter has.
        hidden_size: of the model; None where it is not known.
    """
    if missing := _missing(candidate, dispatch, software):
        return missing
    found = next((row.expectation for row in TABLE if row.fits(candidate, dispatch)), None)
    if found is None:
        return _unavailable(f"engine {candidate.engine} has no {candidate.dtype} of this kind")
    return _of_size(candidate, hidden_size, _of_version(candidate, software, found))


def _missing(candidate: Candidate, dispatch: Dispatch, software: Software) -> Expectation | None:
    """What is not installed, or cannot be."""
    if not software.torch:
        return _absent("torch", candidate.engine if candidate.engine != "eager" else "torch", software)
    if candidate.engine == "openvino":
        return _missing_openvino(candidate, dispatch, software)
    if candidate.engine == "ipex":
        if "asimd" in dispatch.onednn:
            return _unavailable("IPEX is for x86 only", "its wheels")
        if not software.ipex:
            return _absent("intel-extension-for-pytorch", "ipex", software)
        if "avx2" not in dispatch.onednn:
            return _unavailable("IPEX needs AVX2", "intel_extension_for_pytorch/__init__.py")
    if candidate.engine == "torch" and candidate.scheme:
        if not software.torchao:
            return _absent("torchao", "torch", software)
        if candidate.dtype == "int4" and not at_least(software.torchao, (0, 18)):
            reason = f"torchao {software.torchao} has other names for int4 on cpus; 0.18 is needed"
            return _unavailable(reason, "torchao #4205, #4149")
    return None


def _missing_openvino(candidate: Candidate, dispatch: Dispatch, software: Software) -> Expectation | None:
    if not software.openvino:
        return _absent("openvino", "openvino", software)
    if candidate.scheme and not software.nncf:
        return _absent("nncf", "openvino", software)
    if dispatch.onednn_is_capped:
        reason = "ONEDNN_MAX_CPU_ISA holds back half of OpenVINO: it then gives wrong answers or does not compile"
        return _unavailable(reason, "tried with OpenVINO 2026.4.1")
    return None


ABSENT = "is not installed there"
"""What is said of a package."""


def _absent(package: str, extra: str, software: Software) -> Expectation:
    return _unavailable(f"{package} {ABSENT}: {software.adding.replace('EXTRA', extra)}")


def _unavailable(reason: str, source: str = "") -> Expectation:
    return Expectation(fares="unavailable", reason=reason, source=source)


def _of_version(candidate: Candidate, software: Software, found: Expectation) -> Expectation:
    """What the table says, unless the installed versions lack what it counts on."""
    dynamic = candidate.engine == "torch" and candidate.dtype == "int8" and candidate.scheme == "dynamic"
    if not dynamic or found.fares not in ("fast", "ok"):
        return found
    if not at_least(software.torch, (2, 12)):
        reason = f"torch {software.torch} multiplies s8 by s8 in oneDNN's reference code; u8 by s8 came with torch 2.12"
    elif not at_least(software.torchao, (0, 18)):
        reason = f"torchao {software.torchao} has no u8 activations; they came with 0.18"
    else:
        return found
    return Expectation(fares="slow", reason=reason, source="torchao #4103")


SMALL_HIDDEN_SIZE = 768
"""From there on int8 dynamic was measured to gain: 1.30 times bf16's rate with a BERT-base shape."""


def _of_size(candidate: Candidate, hidden_size: int | None, found: Expectation) -> Expectation:
    """Products of few numbers take no longer than to quantise their activations call by call."""
    dynamic = candidate.engine == "torch" and candidate.dtype == "int8" and candidate.scheme == "dynamic"
    if not dynamic or found.fares != "fast" or hidden_size is None or hidden_size >= SMALL_HIDDEN_SIZE:
        return found
    reason = f"gains nothing on bf16 below a hidden size of {SMALL_HIDDEN_SIZE}, and the model's is {hidden_size}"
    return Expectation(fares="ok", reason=reason, source="0.98 to 1.00 of bf16 with MiniLM on a Zen 5")
