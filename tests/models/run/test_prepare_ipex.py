"""models/run/prepare_ipex.py: right answers, and what IPEX does otherwise than asked is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cpu_instructions import skip_without_avx512
from tests.examples.run_examples import ROOT, ipex_python, run

pytestmark = [pytest.mark.ipex, pytest.mark.process, pytest.mark.slow]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What observe_ipex.py printed."""
    python, folder = ipex_python(), tmp_path_factory.mktemp("checkpoints")
    done = run(python, "-m", "tests.models.run.observe_ipex", str(folder))
    assert done.returncode == 0, done.stderr
    # Nothing of IPEX's talk is left, on stdout or stderr.
    assert done.stderr == ""
    findings: dict[str, Any] = json.loads(done.stdout)
    return findings


def skip_where_refused(finding: dict[str, Any]) -> None:
    """IPEX packs bf16 weights from AVX-512 on only; elsewhere that is what users are told."""
    if "error" in finding:
        skip_without_avx512(finding["error"])


@pytest.mark.parametrize(
    ("name", "least"), [("encoder fp32", 0.999999), ("encoder bf16", 0.995), ("decoder bf16 embed", 0.995)]
)
def test_single_calls_run_as_a_traced_graph_and_answer_right(found: dict[str, Any], name: str, least: float) -> None:
    skip_where_refused(found[name])
    assert found[name]["cosine"] >= least
    assert found[name]["facts"]["graph"] == "torch.jit"
    assert found[name]["notes"] == []


def test_bf16_is_not_fp32(found: dict[str, Any]) -> None:
    skip_where_refused(found["encoder bf16"])
    assert found["encoder bf16"]["cosine"] < 0.9999999
    assert found["decoder bf16"]["logit_error"] > 1e-4
    assert found["encoder classify bf16"]["logit_error"] > 1e-4


def test_weight_only_encoders_answer_right_without_a_graph(found: dict[str, Any]) -> None:
    # A traced graph of them under bf16 autocast gives unrelated vectors in IPEX 2.8.
    for name, least in (("encoder int8", 0.995), ("encoder int4", 0.97)):
        assert least <= found[name]["cosine"] < 0.9999999
        assert found[name]["facts"]["quantised_layers"] == 13
        assert found[name]["facts"]["graph"] == "none"


@pytest.mark.parametrize(("name", "most"), [("fp32", 1e-4), ("bf16", 0.1), ("int8", 0.1), ("int4", 0.5)])
def test_decoders_answer_right_through_generate(found: dict[str, Any], name: str, most: float) -> None:
    skip_where_refused(found[f"decoder {name}"])
    assert found[f"decoder {name}"]["logit_error"] <= most
    assert found[f"decoder {name}"]["facts"]["graph"] == "traced by ipex.llm.optimize"


def test_the_group_size_and_the_mode_arrive(found: dict[str, Any]) -> None:
    assert found["decoder int4"]["facts"]["group_size"] == 32
    assert found["decoder int4"]["facts"]["lowp_mode"] == "INT8"
    assert found["decoder int8"]["facts"]["group_size"] == -1
    assert found["decoder int8"]["facts"]["lowp_mode"] == "BF16"


def test_an_unknown_decoder_is_said_to_be_optimised_plainly(found: dict[str, Any]) -> None:
    note = "ipex.llm.optimize does not know GPT2LMHeadModel; ipex.optimize was applied: no fused attention, no graph"
    skip_where_refused(found["unknown bf16"])
    assert found["unknown bf16"]["notes"] == [note]


def test_what_was_not_quantised_is_told(found: dict[str, Any]) -> None:
    assert "IPEX quantised 1 of 9 linear layers" in found["unknown int8"]["notes"]


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_low_precision_checkpoints_give_what_their_weights_mean(found: dict[str, Any], method: str) -> None:
    assert found[method]["widened"] < 1e-4
    # The original weights are not what ran.
    assert found[method]["original"] > 0.05
    assert found[method]["facts"]["group_size"] == 32


def test_what_ipex_cannot_do_is_an_error_that_says_what_would_work(found: dict[str, Any]) -> None:
    assert "use --engine torch for dynamic int8" in found["encoder dynamic"]["error"]
    assert "there is no such directory" in found["no such checkpoint"]["error"]
    assert "its weights have 4 bits; use --dtype int4" in found["checkpoint as bf16"]["error"]


UNKNOWN = "--reuid=54321 --regid=54321 --clear-groups --inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
"""A user without an entry in /etc/passwd, as containers run as a number; it may read where the interpreter lies."""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root becomes another user")
def test_a_user_whom_nobody_knows_can_run_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    code = (
        "from ipexlaunch.models.engines.candidate import floating\n"
        "from ipexlaunch.models.run.prepare import import_engine\n"
        "print(sorted(import_engine(floating('ipex', 'fp32'))))"
    )
    done = subprocess.run(
        ["setpriv", *UNKNOWN.split(), ipex_python(), "-B", "-c", code],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "setpriv" in done.stderr:
        pytest.skip(done.stderr)
    assert "intel-extension-for-pytorch" in done.stdout, done.stderr
