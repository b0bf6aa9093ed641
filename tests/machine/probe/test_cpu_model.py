"""Names and flags from the many spellings of proc/cpuinfo."""

from __future__ import annotations

import pytest

from ipexlaunch.machine.topology import Topology
from tests.machine.probe.small_tree import cores, machine, problem

XEON = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model name\t: INTEL(R)  XEON(R) PLATINUM 8592+
flags\t\t: fpu avx2 avx512f avx512_bf16 avx512_fp16 amx_tile amx_bf16 amx_int8 avx_vnni md_clear

processor\t: 1
model name\t: another
flags\t\t: fpu gfni
"""
GRACE = """processor\t: 0
BogoMIPS\t: 2000.00
Features\t: fp asimd evtstrm aes asimddp sve sve2 i8mm bf16 svebf16
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd4f
"""


def of(text: str) -> Topology:
    return machine(cores(1), {"proc/cpuinfo": text.rstrip("\n")})


def test_x86() -> None:
    found = of(XEON)
    assert found.cpu_model == "INTEL(R) XEON(R) PLATINUM 8592+"
    assert found.isa == {
        "avx2",
        "avx512f",
        "avx512_bf16",
        "avx512_fp16",
        "amx_tile",
        "amx_bf16",
        "amx_int8",
        "avx_vnni",
    }


def test_arm_names_its_part_by_number() -> None:
    found = of(GRACE)
    assert found.cpu_model == "Arm Neoverse-V2"
    assert found.isa == {"asimd", "asimddp", "sve", "sve2", "i8mm", "bf16", "svebf16"}
    assert of(GRACE.replace("0xd4f", "0xfff")).cpu_model == "ARM implementer 0x41 part 0xfff"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\ncpu\t\t: POWER9, altivec supported", "POWER9, altivec supported"),
        ("Model Name\t\t: Loongson-3C6000", "Loongson-3C6000"),
        ("Processor\t: ARMv7 Processor rev 4 (v7l)\nprocessor\t: 0", "ARMv7 Processor rev 4 (v7l)"),
        ("cpu\t: 5\nmodel\t: 3", None),
        ("model name\t: a\x1bb", "a\\x1bb"),
    ],
)
def test_others(text: str, name: str | None) -> None:
    assert of(text).cpu_model == name
    assert of(text).isa == frozenset()


def test_what_is_no_cpuinfo_is_named() -> None:
    assert "proc/cpuinfo: it has no line 'NAME: VALUE'" in problem(cores(1), {"proc/cpuinfo": "nothing"})
    assert "proc/cpuinfo: it is cut off or binary" in problem(cores(1), {"proc/cpuinfo": "flags : \0"})
