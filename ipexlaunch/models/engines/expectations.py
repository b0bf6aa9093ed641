"""What is known of each candidate before anything is measured: instruction set x engine x numbers -> how it fares.

The table is read from kernels and measured reports, and each row says which. It decides what is not even tried (no
kernel, no package) and what `--dtype auto` leaves out; what is asked for by name is measured all the same, since a
table does not know the model.
"""

from __future__ import annotations

from dataclasses import dataclass

from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.instruction_sets import Dispatch
from ipexlaunch.models.engines.kernels import TABLE, Fares, Library, Row
from ipexlaunch.models.engines.software import Software, at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """How a candidate fares on a host, and who says so."""

    fares: Fares
    reason: str
    source: str = ""


def expect(candidate: Candidate, dispatch: Dispatch, software: Software) -> Expectation:
    """How a candidate fares with these instructions and packages.

    Args:
        candidate: what would run.
        dispatch: what each library may use of the processor.
        software: what the workers' interpreter has.
    """
    if missing := _missing(candidate, dispatch, software):
        return missing
    for row in TABLE:
        if (
            candidate.engine in row.engines
            and candidate.dtype in row.dtypes
            and candidate.scheme in row.schemes
            and candidate.activations in (*row.activations, *_own(candidate))
            and row.flags <= _flags_of(dispatch, row.library)
        ):
            return _with_versions(candidate, row, software)
    return Expectation(fares="unavailable", reason=f"engine {candidate.engine} has no {candidate.dtype} of this kind")


def _own(candidate: Candidate) -> tuple[str, ...]:
    """The activations of a floating-point dtype are that dtype: no row tells them apart."""
    return () if candidate.scheme else (candidate.activations,)


def _flags_of(dispatch: Dispatch, library: Library) -> frozenset[str]:
    """Of the library, and of oneDNN, which multiplies what the library does not."""
    if library == "onednn":
        return dispatch.onednn
    return (dispatch.aten if library == "aten" else dispatch.ipex) & dispatch.onednn


def _missing(candidate: Candidate, dispatch: Dispatch, software: Software) -> Expectation | None:
    """What is not installed, or cannot be."""
    if not software.torch:
        return _absent("torch", "ipexlaunch[ipex]" if candidate.engine == "ipex" else "ipexlaunch[torch]")
    if candidate.engine == "ipex":
        if "asimd" in dispatch.onednn:
            return Expectation(fares="unavailable", reason="IPEX is for x86 only", source="its wheels")
        if not software.ipex:
            return _absent("intel-extension-for-pytorch", "ipexlaunch[ipex]")
        if "avx2" not in dispatch.onednn:
            reason = "IPEX needs AVX2"
            return Expectation(fares="unavailable", reason=reason, source="intel_extension_for_pytorch/__init__.py")
    if candidate.engine == "torch" and candidate.scheme:
        if not software.torchao:
            return _absent("torchao", "ipexlaunch[torch]")
        if candidate.dtype == "int4" and not at_least(software.torchao, (0, 18)):
            reason = f"torchao {software.torchao} has other names for int4 on cpus; 0.18 is needed"
            return Expectation(fares="unavailable", reason=reason, source="torchao #4205, #4149")
    return None


def _absent(package: str, extra: str) -> Expectation:
    return Expectation(fares="unavailable", reason=f'{package} is not installed there: pip install "{extra}"')


def _with_versions(candidate: Candidate, row: Row, software: Software) -> Expectation:
    """The row, unless the installed versions lack what it counts on."""
    dynamic = candidate.engine == "torch" and candidate.dtype == "int8" and candidate.scheme == "dynamic"
    if dynamic and row.fares in ("fast", "ok") and not at_least(software.torch, (2, 12)):
        reason = f"torch {software.torch} multiplies s8 by s8 in oneDNN's reference code; u8 by s8 came with torch 2.12"
        return Expectation(fares="slow", reason=reason, source="torchao #4103")
    if dynamic and row.fares in ("fast", "ok") and not at_least(software.torchao, (0, 18)):
        reason = f"torchao {software.torchao} has no u8 activations; they came with 0.18"
        return Expectation(fares="slow", reason=reason, source="torchao #4103")
    return Expectation(fares=row.fares, reason=row.reason, source=row.source)
