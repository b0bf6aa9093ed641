"""Instruction sets and what they mean: one processor of each class."""

from __future__ import annotations

import pytest

from tests.doctor.hosts import AMX_FLAGS, answer, answers, cpuinfo

ARM = "processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp sve i8mm bf16\nCPU implementer\t: 0x41\n"

CLASSES = {
    AMX_FLAGS + " amx_fp16": "AMX with fp16 tiles",
    AMX_FLAGS: "AMX and AVX512_FP16",
    "avx2 avx512f avx512_vnni avx512_bf16": "AVX-512 with VNNI and BF16",
    "avx2 avx512f avx512_vnni": "AVX-512 with VNNI",
    "avx2 avx512f": "AVX-512 without VNNI",
    "avx2 fma avx_vnni": "AVX2 only",
    "sse4_2": "no AVX2",
}
"""Flags to the class, as reference tables of upstream issues divide processors."""


def dtypes(flags: str) -> dict[str, str]:
    """dtype to severity, on a processor whose model promises nothing."""
    found = answers("dtypes", {"/proc/cpuinfo": cpuinfo(flags, model=1)})
    return {finding.message.split()[0]: finding.severity for finding in found}


@pytest.mark.parametrize(("flags", "name"), CLASSES.items())
def test_flags_decide_the_class(flags: str, name: str) -> None:
    found = answer("instruction-sets", {"/proc/cpuinfo": cpuinfo(flags, model=1)})
    assert (found.severity, found.message) == ("ok", f"Processor class: {name}")


def test_bf16_is_catastrophic_without_its_instructions_and_fast_with_them() -> None:
    assert dtypes("avx2") == {
        "fp32": "ok",
        "bf16": "warning",
        "fp16": "warning",
        "int8": "note",
        "int4": "warning",
        "IPEX": "note",
    }
    assert dtypes("avx2 avx512f avx512_vnni")["bf16"] == "note"
    assert dtypes("avx2 avx512f avx512_vnni avx512_bf16")["bf16"] == "ok"
    assert set(dtypes(AMX_FLAGS).values()) == {"ok"}


def test_ipex_weights_are_slow_below_avx512_fp16() -> None:
    assert dtypes("avx2 avx512f avx512_vnni avx512_bf16")["IPEX"] == "note"
    assert dtypes(AMX_FLAGS)["IPEX"] == "ok"


def test_every_slow_type_says_what_to_use_instead() -> None:
    for flags in CLASSES:
        for finding in answers("dtypes", {"/proc/cpuinfo": cpuinfo(flags, model=1)}):
            assert bool(finding.remedy) == (finding.severity != "ok")


@pytest.mark.parametrize(
    ("flags", "vendor", "family", "model", "severity"),
    [
        ("avx2", "GenuineIntel", 6, 143, "problem"),
        ("avx2", "GenuineIntel", 6, 106, "problem"),
        ("avx2", "GenuineIntel", 6, 151, "ok"),
        ("avx2", "AuthenticAMD", 25, 0x11, "problem"),
        ("avx2", "AuthenticAMD", 25, 0x01, "ok"),
        ("avx2", "AuthenticAMD", 26, 2, "problem"),
        ("avx2 avx512f", "GenuineIntel", 6, 85, "ok"),
    ],
)
def test_instructions_that_the_hypervisor_hides_are_found(
    flags: str, vendor: str, family: int, model: int, severity: str
) -> None:
    changes = {"/proc/cpuinfo": cpuinfo(flags, vendor, family, model)}
    assert answer("instruction-sets", changes).severity == severity


def test_amx_that_the_kernel_refuses_is_a_problem() -> None:
    found = answer("amx", amx_refusal="Operation not permitted")
    assert found.severity == "problem"
    assert "Operation not permitted" in [seen.value for seen in found.evidence]


@pytest.mark.parametrize(
    ("release", "severity"),
    [("6.8.0-45-generic", "ok"), ("5.16", "ok"), ("5.15.0-100", "problem"), ("4.18.0", "problem"), ("new", "unknown")],
)
def test_amx_needs_a_kernel_that_knows_it(release: str, severity: str) -> None:
    assert answer("amx", {"/proc/sys/kernel/osrelease": release}).severity == severity


def test_amx_hidden_on_a_processor_that_has_it_is_a_problem() -> None:
    hidden = cpuinfo("avx2 avx512f avx512_vnni", model=143)
    assert answer("amx", {"/proc/cpuinfo": hidden}).severity == "problem"
    assert answer("amx", {"/proc/cpuinfo": cpuinfo("avx2", model=151)}).severity == "ok"


def test_a_processor_without_a_model_number_is_unknown() -> None:
    text = cpuinfo("avx2").replace("model\t\t: 143", "model\t\t: new")
    assert answer("instruction-sets", {"/proc/cpuinfo": text}).severity == "unknown"


def test_an_architecture_that_is_in_no_table_is_unknown() -> None:
    loongarch = "processor\t: 0\nCPU Family\t: Loongson-64bit\nFeatures\t: cpucfg lam ual fpu lsx lasx\n"
    for check in ("instruction-sets", "amx", "dtypes"):
        assert answer(check, {"/proc/cpuinfo": loongarch}).severity == "unknown"


def test_arm_is_judged_by_its_own_features() -> None:
    assert answer("instruction-sets", {"/proc/cpuinfo": ARM}).message == "ARM with SVE"
    assert answer("amx", {"/proc/cpuinfo": ARM}).severity == "ok"
    found = answers("dtypes", {"/proc/cpuinfo": ARM})
    assert [finding.severity for finding in found] == ["ok", "note", "note", "note"]
    assert found[1].evidence[0].value == "Features: bf16"
    old = ARM.replace(" asimdhp", "").replace(" i8mm bf16", "").replace(" sve", "")
    assert [finding.severity for finding in answers("dtypes", {"/proc/cpuinfo": old})] == ["ok", *["warning"] * 3]
    assert answer("instruction-sets", {"/proc/cpuinfo": old}).message == "ARM with Advanced SIMD"
