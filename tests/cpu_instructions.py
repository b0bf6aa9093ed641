"""What this host's cpu has: some numbers run on no other, and no package brings them."""

from __future__ import annotations

from pathlib import Path

import pytest

NO_INSTRUCTIONS = "this cpu has no "
"""How the reason of a skip begins that CI may not forbid (tests/conftest.py)."""


def has_avx512() -> bool:
    """Whether the kernel shows AVX-512's foundation and the parts that oneDNN asks for."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2].partition("\n")[0].split()
    return {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= set(flags)


def skip_without_avx512(said: str = "AVX-512") -> None:
    """Skip where the cpu has no AVX-512; what the program said of it must name it.

    Args:
        said: the error that a user saw.
    """
    if not has_avx512():
        assert "avx512" in said.lower().replace("-", ""), said
        pytest.skip(NO_INSTRUCTIONS + "AVX-512")
