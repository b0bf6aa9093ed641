"""Classes of processors, and what the variables of the environment take away from them."""

from __future__ import annotations

import itertools

import pytest

from ipexlaunch.models.engines import instruction_sets as sets
from ipexlaunch.models.engines.instruction_sets import ONEDNN_CAPS, dispatch, instruction_set

GRANITE = sets.AMX_FP16.flags | {"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni"}


@pytest.mark.parametrize("each", sets.X86)
def test_a_set_s_own_flags_are_of_its_class(each: sets.InstructionSet) -> None:
    assert instruction_set(each.flags) == each


def test_arm_is_told_apart() -> None:
    assert instruction_set(frozenset({"asimd", "bf16"})) == sets.ARM
    assert instruction_set(frozenset({"asimd", "sve", "i8mm"})) == sets.ARM_SVE


@pytest.mark.parametrize(
    ("aten", "onednn", "common"),
    [
        ("", "", sets.AMX_FP16),
        ("avx2", "AVX2", sets.AVX2),
        ("default", "SSE41", sets.NO_AVX2),
        ("avx512", "AVX512_CORE", sets.AVX512),
        ("avx512", "AVX512_CORE_VNNI", sets.AVX512_VNNI),
        ("", "avx512_core_bf16", sets.AVX512_BF16),
        ("", "AVX512_CORE_AMX", sets.AMX),
        ("", "ALL", sets.AMX_FP16),
        ("nonsense", "NONSENSE", sets.AMX_FP16),
    ],
)
def test_caps_stand_in_for_older_processors(aten: str, onednn: str, common: sets.InstructionSet) -> None:
    assert dispatch(GRANITE, {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn}).common == common


def test_each_library_has_its_own_cap() -> None:
    only_onednn = dispatch(GRANITE, {"DNNL_MAX_CPU_ISA": "AVX2"})
    assert only_onednn.aten == only_onednn.ipex == GRANITE
    assert "avx512f" not in only_onednn.onednn
    for_ipex = dispatch(GRANITE, {"ATEN_CPU_CAPABILITY": "avx512_vnni"})
    assert for_ipex.aten == GRANITE
    assert instruction_set(for_ipex.ipex) == sets.AVX512_VNNI


def test_no_cap_adds_a_flag_and_wider_caps_take_less() -> None:
    order = ["AVX2", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX"]
    left = [dispatch(GRANITE, {"ONEDNN_MAX_CPU_ISA": word}).onednn for word in order]
    for smaller, larger in itertools.pairwise(left):
        assert smaller < larger
    assert all(dispatch(GRANITE, {"ONEDNN_MAX_CPU_ISA": word}).onednn <= GRANITE for word in ONEDNN_CAPS)
