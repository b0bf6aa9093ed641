"""Which candidates must be measured before one is chosen: those that may turn out to be the fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ipexlaunch.models.engines.candidate import REFERENCE, Candidate, Dtype
from ipexlaunch.models.engines.candidate_result import CandidateResult
from ipexlaunch.models.engines.choose import DtypeChoice

KERNEL_ROWS: Mapping[Dtype, int] = {"int8": 4, "int4": 8}
"""Rows of a product up to which engine torch multiplies integer weights as they are, by aten's kernels for bf16
activations; with more, freezing widens the weights, oneDNN multiplies, and only their rounding tells it from bf16.

The kernel of int8 (torch's native/cpu/int8mm_kernel.cpp) goes through the weights once for every four rows; with fp32
activations, for which it has no vector code, it took three times as long as fp32 weights for one row, twelve times for
eight. Of int4 (int4mm_kernel.cpp) one row took half the time of bf16 weights, eight rows 1.2 times, 32 twice."""


def worth_measuring(known: Sequence[CandidateResult], dtype: DtypeChoice, rows: int) -> tuple[Candidate, ...]:
    """What must be measured before a dtype can be chosen, which for anything but auto is that dtype and fp32.

    For auto it is what is not expected to be slow, but for what cannot be the fastest, each of which would cost up to a
    minute of a compiler: the fp32 of an engine whose bf16 is fast and right, and what is another candidate by a longer
    name, which besides would leave a third no place in a run-off. So ask again when these have been measured.

    Args:
        known: from `expected`, with their measurements as far as there are any.
        dtype: one, or auto.
        rows: of the job's products, `ModelJob.product_rows`.
    """
    usable = [each for each in known if each.expectation.fares != "unavailable"]
    if dtype != "auto":
        return tuple(each.candidate for each in usable if each.candidate.dtype in (dtype, "fp32"))
    faster = {
        each.candidate.engine for each in usable if (each.candidate.dtype, each.expectation.fares) == ("bf16", "fast")
    }
    return tuple(
        each.candidate
        for each in usable
        if each.expectation.fares in ("fast", "ok")
        and not (each.expectation.fares == "ok" and each.candidate.dtype == "fp16" and each.candidate.engine in faster)
        and not _is_widened(each.candidate, rows)
        and not _has_faster_bf16(each.candidate, known)
    )


def _is_widened(candidate: Candidate, rows: int) -> bool:
    """Whether a compiled program has floating-point weights all the same."""
    if candidate.engine != "torch" or candidate.scheme != "weight-only":
        return False
    return candidate.activations != "bf16" or rows > KERNEL_ROWS[candidate.dtype]


def _has_faster_bf16(candidate: Candidate, known: Sequence[CandidateResult]) -> bool:
    """Whether this is fp32 of an engine that is known to be faster in bf16 here, as far as anybody has seen.

    In both compiled engines it is, for the smallest models too: 1.3 times at 1 x 16 tokens and 128 channels, with AMX.
    """
    if candidate.dtype != "fp32" or candidate == REFERENCE:
        return False
    wide = replace(candidate, dtype="bf16", activations="bf16")
    beside = next((each for each in known if each.candidate == wide and each.expectation.fares == "fast"), None)
    return beside is not None and (beside.measurement is None or (beside.right and beside.rate > 1))
