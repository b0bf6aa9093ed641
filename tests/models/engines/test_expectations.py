"""The table of instruction set x engine x numbers, row by row, and what versions and caps change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipexlaunch.models.engines.candidate import ENGINES, Candidate, Dtype, candidates_of, floating
from ipexlaunch.models.engines.expectations import Software, at_least, expect
from tests.models.engines.hosts import FLAGS, IPEX_ENV, PLAIN, TORCH_ENV, host, weights

INT8_DYNAMIC = weights("torch", "int8", "dynamic")
INT4 = weights("torch", "int4", group_size=128)


@pytest.mark.parametrize(
    ("processor", "bf16", "fp16", "int8", "int4"),
    [
        ("haswell", "slow", "slow", "slow", "slow"),
        ("skylake", "slow", "slow", "slow", "slow"),
        ("icelake", "slow", "slow", "fast", "slow"),
        ("zen5", "fast", "slow", "fast", "ok"),
        ("sapphire", "fast", "ok", "fast", "fast"),
        ("granite", "fast", "fast", "fast", "fast"),
        ("graviton4", "ok", "ok", "ok", "slow"),
        ("pi4", "slow", "slow", "slow", "slow"),
    ],
)
def test_upstream_torch(processor: str, bf16: str, fp16: str, int8: str, int4: str) -> None:
    found = [
        expect(each, host(processor), TORCH_ENV).fares for each in (PLAIN["bf16"], PLAIN["fp16"], INT8_DYNAMIC, INT4)
    ]
    assert found == [bf16, fp16, int8, int4]


@pytest.mark.parametrize(
    ("processor", "bf16", "fp16", "weight_only"),
    [
        ("haswell", "unavailable", "unavailable", "slow"),
        ("skylake", "slow", "unavailable", "slow"),
        ("icelake", "slow", "unavailable", "slow"),
        ("zen5", "fast", "unavailable", "slow"),
        ("sapphire", "fast", "ok", "fast"),
        ("granite", "fast", "fast", "fast"),
        ("graviton4", "unavailable", "unavailable", "unavailable"),
    ],
)
def test_ipex(processor: str, bf16: str, fp16: str, weight_only: str) -> None:
    candidates = (floating("ipex", "bf16"), floating("ipex", "fp16"), weights("ipex", "int8"), weights("ipex", "int4"))
    found = [expect(each, host(processor), IPEX_ENV).fares for each in candidates]
    assert found == [bf16, fp16, weight_only, weight_only]


def test_vnni_does_not_save_ipex_s_weights_and_the_reason_is_told() -> None:
    found = expect(weights("ipex", "int4"), host("icelake"), IPEX_ENV)
    assert "avx512_fp16" in found.reason
    assert "#826" in found.source


@pytest.mark.parametrize("processor", FLAGS)
@pytest.mark.parametrize("software", [IPEX_ENV, TORCH_ENV, Software()])
def test_every_candidate_that_is_offered_has_a_row_with_its_reason(processor: str, software: Software) -> None:
    for engine in ENGINES:
        candidates = candidates_of(engine, host(processor))
        assert len({each.name for each in candidates}) == len(candidates)
        for each in candidates:
            found = expect(each, host(processor), software)
            assert found.reason
            assert "of this kind" not in found.reason


def test_no_engine_has_a_slow_fp32() -> None:
    for processor in FLAGS:
        assert expect(floating("eager", "fp32"), host(processor), TORCH_ENV).fares == "ok"
        assert expect(floating("torch", "fp32"), host(processor), TORCH_ENV).fares == "fast"


def test_caps_move_a_processor_down_the_table() -> None:
    aten, onednn = "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"
    as_haswell = host("granite", **{aten: "avx2", onednn: "AVX2"})
    as_skylake = host("granite", **{aten: "avx512", onednn: "AVX512_CORE"})
    for each in (PLAIN["bf16"], PLAIN["fp16"], INT8_DYNAMIC, INT4):
        assert expect(each, as_haswell, TORCH_ENV).fares == expect(each, host("haswell"), TORCH_ENV).fares
        assert expect(each, as_skylake, TORCH_ENV).fares == "slow"
    assert expect(weights("ipex", "int4"), as_skylake, IPEX_ENV).fares == "slow"


def test_versions_take_kernels_away() -> None:
    assert expect(INT8_DYNAMIC, host("zen5"), replace(TORCH_ENV, torch="2.11.0")).fares == "slow"
    assert expect(INT8_DYNAMIC, host("zen5"), replace(TORCH_ENV, torchao="0.17.0")).fares == "slow"
    assert expect(INT8_DYNAMIC, host("zen5"), IPEX_ENV).fares == "unavailable"
    assert expect(INT4, host("zen5"), replace(TORCH_ENV, torchao="0.15.0")).fares == "unavailable"
    assert expect(floating("ipex", "fp32"), host("zen5"), TORCH_ENV).reason.endswith('pip install "ipexlaunch[ipex]"')


def test_int8_activations_with_int4_weights_have_no_kernel_in_the_wheel() -> None:
    candidate = Candidate(engine="torch", dtype="int4", scheme="dynamic", activations="bf16")
    assert expect(candidate, host("granite"), TORCH_ENV).fares == "unavailable"


@pytest.mark.parametrize("activations", ["fp32", "fp16"])
def test_int4_wants_bf16_activations(activations: str) -> None:
    assert expect(weights("torch", "int4", activations=activations), host("zen5"), TORCH_ENV).fares == "slow"


def test_weights_go_with_fp32_where_bf16_is_emulated() -> None:
    def activations(processor: str, dtype: Dtype) -> set[str]:
        return {each.activations for each in candidates_of("torch", host(processor)) if each.dtype == dtype}

    assert activations("icelake", "int8") == {"fp32"}
    assert activations("zen5", "int8") == {"fp32", "bf16"}
    assert activations("icelake", "int4") == {"bf16"}


def test_with_tiles_openvino_quantises_activations_of_fp32_only() -> None:
    def kinds(processor: str) -> set[tuple[str, str]]:
        return {(each.dtype, each.activations) for each in candidates_of("openvino", host(processor)) if each.scheme}

    assert kinds("icelake") == {("int8", "fp32"), ("int8-calibrated", "fp32"), ("int4", "fp32")}
    assert kinds("zen5") == {("int8", "bf16"), ("int8-calibrated", "bf16"), ("int4", "bf16")}
    assert kinds("granite") == {("int8", "bf16"), ("int8", "fp32"), ("int8-calibrated", "bf16"), ("int4", "fp32")}
    with_openvino = replace(TORCH_ENV, openvino="2026.4.1", nncf="3.4.0")
    half, single = (
        expect(each, host("granite"), with_openvino)
        for each in candidates_of("openvino", host("granite"))
        if (each.dtype, each.scheme) == ("int8", "dynamic")
    )
    assert "weights are widened" in half.reason
    assert "quantised call by call" in single.reason


@pytest.mark.parametrize(
    ("version", "answer"),
    [
        ("2.12.0", True),
        ("2.13.0+cpu", True),
        ("3.0", True),
        ("2.8.0", False),
        ("2.9.1", False),
        ("", False),
        ("x", False),
    ],
)
def test_versions_are_compared_as_numbers(version: str, answer: bool) -> None:
    assert at_least(version, (2, 12)) is answer
