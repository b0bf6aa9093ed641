"""--auto-ipex with the real IPEX: the answers of an unchanged script, what is told of them, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cpu_instructions import skip_without_avx512
from tests.examples.run_examples import ROOT, ipex_python, run
from tests.examples.status_channel import talk_to
from tests.models.scripts.run_script import LIMIT_S, PACKAGE, RUNNER, environment

pytestmark = [pytest.mark.ipex, pytest.mark.process, pytest.mark.slow]

SCRIPT = str(Path(__file__).parent / "optimised_models.py")


def answers(*runner: str) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [ipex_python(), *runner, SCRIPT], cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document, "".join(line for line in done.stderr.splitlines(True) if line.startswith("ipexlaunch: "))


def assert_near(found: object, expected: object, relative: float) -> None:
    if isinstance(expected, list):
        assert isinstance(found, list)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_near(one, other, relative)
    else:
        assert found == pytest.approx(expected, rel=relative, abs=relative)


def test_a_script_gets_the_answers_that_it_gets_alone() -> None:
    alone, _ = answers()
    ours, told = answers(RUNNER, "--auto-ipex", "--dtype", "fp32")
    assert {name: ours[name] for name in ("bert's result", "llama", "trained", "a forked child's code")} == {
        "bert's result": "BaseModelOutputWithPoolingAndCrossAttentions",
        "llama": alone["llama"],
        "trained": alone["trained"],
        "a forked child's code": 0,
    }
    for name in ("bert", "bert by position", "cnn", "traced"):
        assert_near(ours[name], alone[name], 1e-4)
    assert told == (
        "ipexlaunch: --auto-ipex: the answers of LlamaForCausalLM are not compared with fp32: "
        "generate makes other texts of equal worth\n"
        "ipexlaunch: --auto-ipex: RecursiveScriptModule runs as it is: it is a graph of torch.jit already\n"
        "ipexlaunch: --auto-ipex: Linear is in training mode and runs as it is\n"
    )


def test_in_bfloat16_they_are_near_and_still_fp32_numbers(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    skip_without_avx512()
    alone, _ = answers()
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE / "worker" / "import_path"))
    said = talk_to([ipex_python(), RUNNER, "--auto-ipex", "--dtype", "bf16", SCRIPT], cwd=str(ROOT))
    ours = json.loads(capfd.readouterr().out)  # numpy() of a bf16 tensor would have failed
    assert ours["bert"] != alone["bert"]
    for name in ("bert", "bert by position", "cnn"):
        assert_near(ours[name], alone[name], 0.1)
    assert {message["event"] for message in said} == {"phase", "facts"}
    assert {message["name"] for message in said if message["event"] == "phase"} == {"converting"}
    facts = [message["facts"] for message in said if message["event"] == "facts"][-1]
    assert facts["engine"] == "ipex"
    assert facts["dtype"] == "bf16"
    assert facts["convert_s"] > 0
    assert facts["optimised"] == [
        "BertModel: ipex.optimize with a graph",
        "Sequential: ipex.optimize with a graph",
        "LlamaForCausalLM: ipex.llm.optimize with a graph",
    ]


def test_what_cannot_be_right_is_refused_before_anything_starts(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("print('started')")
    words = ["-m", "ipexlaunch", "--python", ipex_python(), "--auto-ipex", "--dtype", "bfloat16"]
    old = ["--env", "ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI"]
    refused = run(sys.executable, *words, *old, str(script))
    assert (refused.returncode, refused.stdout) == (2, "")
    skip_without_avx512(refused.stderr)
    assert "cannot run in bf16: slower than fp32 here" in refused.stderr
    assert "--force-dtype" in refused.stderr
    forced = run(sys.executable, *words, *old, "--force-dtype", "--dry-run", str(script))
    assert forced.returncode == 0
    assert "run_script.py --auto-ipex --dtype bf16" in forced.stdout
