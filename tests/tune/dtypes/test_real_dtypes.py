"""The guard with real engines: this host, and this host held to an older processor's instructions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.models.engines.measurement import BOUNDS
from tests.cpu_instructions import NO_INSTRUCTIONS
from tests.examples.run_examples import LIMIT_S, ROOT, ipex_python, torch_python
from tests.examples.status_channel import without_launcher

ONE_CORE = ("--ninstances", "1", "--ncores-per-instance", "1")
SMALL = (*ONE_CORE, "--batch-size", "4", "--input-tokens", "64")
AVX2 = ("--env", "ATEN_CPU_CAPABILITY=avx2", "--env", "ONEDNN_MAX_CPU_ISA=AVX2")


def ipexlaunch(cache: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = without_launcher(os.environ) | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-m", "ipexlaunch", *words]
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S
    )


def measured(cache: Path, *words: str) -> tuple[dict[str, dict[str, Any]], str]:
    """The only table of `ipexlaunch dtypes`, its candidates by name, and what was said."""
    done = ipexlaunch(cache, "dtypes", *SMALL, "--seconds", "0.5", "--format", "json", *words)
    assert done.returncode == 0, done.stderr
    (table,) = json.loads(done.stdout)["tables"]
    return {row["name"]: row for row in table["candidates"]}, done.stderr


def has(flag: str) -> bool:
    return flag in Path("/proc/cpuinfo").read_text().split()


@pytest.mark.torch
@pytest.mark.process
@pytest.mark.slow
def test_every_floating_dtype_is_measured_once_and_remembered(tmp_path: Path) -> None:
    words = ("--python", torch_python(), "--engine", "eager", "--model", "random:minilm")
    rows, said = measured(tmp_path, *words)
    assert set(rows) == {"eager fp32", "eager bf16", "eager fp16"}
    assert rows["eager fp32"]["times_fp32"] == 1
    for row in rows.values():
        assert row["cosine"] >= BOUNDS[row["dtype"]].cosine
        assert row["calls"] >= 1
        assert row["prepare_cpu_s"] >= 0
    # Its weights are 90 MB, of which the file may be shared with other programs that have read it.
    assert rows["eager fp32"]["memory_bytes"] > 20e6
    assert rows["eager bf16"]["memory_bytes"] > 20e6
    assert [row["verdict"] for row in rows.values()].count("fastest") == 1
    assert "measuring on 1 instance" in said
    again, said = measured(tmp_path, *words)
    assert again == rows
    assert "measuring" not in said


@pytest.mark.torch
@pytest.mark.process
@pytest.mark.slow
def test_a_host_held_to_avx2_gets_fp32_and_bf16_is_refused(tmp_path: Path) -> None:
    """bf16 is fast on the host itself where it has the instructions, and must not be taken for it."""
    if not has("avx512f"):
        pytest.skip(NO_INSTRUCTIONS + "AVX-512: it is itself what it would stand in for")
    words = ("--python", torch_python(), "--engine", "eager", "--model", "random:minilm", *AVX2)
    rows, _ = measured(tmp_path, *words)
    assert rows["eager bf16"]["expected"] == "slow"
    assert rows["eager fp32"]["verdict"] == "fastest"
    assert rows["eager bf16"]["verdict"] == rows["eager fp16"]["verdict"] == "slower than fp32"
    done = ipexlaunch(tmp_path, "bench", *SMALL, *words, "--task", "forward", "--dtype", "bf16")
    assert done.returncode == 2
    assert "cannot run bf16 on eager: eager bf16 is" in done.stderr
    assert "times slower than eager fp32 here" in done.stderr
    assert "use --engine eager --dtype fp32" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.ipex
@pytest.mark.process
@pytest.mark.slow
def test_integers_that_ipex_has_no_kernel_for_are_refused_where_they_are_slower(tmp_path: Path) -> None:
    if has("avx512_fp16"):
        pytest.skip(f"{NO_INSTRUCTIONS}reason to refuse them: IPEX's weight-only kernels run here")
    words = ("--python", ipex_python(), "--model", "random:minilm", "--task", "forward")
    done = ipexlaunch(
        tmp_path,
        "bench",
        *ONE_CORE,
        "--batch-size",
        "1",
        "--input-tokens",
        "16",
        *words,
        "--engine",
        "ipex",
        "--dtype",
        "int4",
    )
    assert done.returncode == 2, done.stderr
    assert "times slower than ipex fp32 here" in done.stderr
    assert "--force-dtype" in done.stderr


@pytest.mark.ipex
@pytest.mark.process
def test_what_ipex_has_no_kernel_for_at_all_is_refused_before_anything_starts(tmp_path: Path) -> None:
    words = ("--python", ipex_python(), "--model", "random:minilm", "--engine", "ipex", "--dtype", "bf16", *AVX2)
    done = ipexlaunch(tmp_path, "bench", *SMALL, *words)
    assert done.returncode == 2
    assert "IPEX packs bf16 weights from AVX-512 on only" in done.stderr
    assert "measuring" not in done.stderr
