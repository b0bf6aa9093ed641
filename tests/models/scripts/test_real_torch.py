"""Counting with the real torch and transformers: the models' calls, and what dynamo does, are as without us."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.run_examples import ROOT, torch_python
from tests.examples.status_channel import talk_to
from tests.models.scripts.run_script import LIMIT_S, PACKAGE, RUNNER, environment

pytestmark = [pytest.mark.torch, pytest.mark.process, pytest.mark.slow]

HERE = Path(__file__).parent


def output(*words: str) -> str:
    done = subprocess.run(
        [torch_python(), *words], cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_dynamo_breaks_no_other_graphs_and_compiles_no_oftener() -> None:
    script = str(HERE / "dynamo_counters.py")
    alone = output(script)
    assert "Net its_call" in alone
    assert output(RUNNER, "--count-calls", script) == alone


def test_calls_of_every_kind_of_model_are_counted(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE / "worker" / "import_path"))
    kinds = ["traced", "scripted", "exported", "classified", "generated", "translated", "quantised", "mapped"]
    command = [torch_python(), RUNNER, "--count-calls", str(HERE / "called_models.py"), *kinds]
    said = talk_to(command, cwd=str(ROOT))
    counts = [message for message in said if message["event"] == "progress"]
    items = [count for message in counts for count in message["items"]]
    tokens = [count for message in counts for count in message["tokens"]]
    assert items == [3, 3, 5, 5, 6, 6, 7, 7, 4, 4, 2, 2, 9, 9, 8, 8]
    made = int(capfd.readouterr().out.split("generated ")[1].split()[0])
    assert sum(tokens[8:10]) == made > 8
    assert tokens == [0] * 8 + tokens[8:10] + [8, 8] + [0] * 4
    assert all(latency > 0 for message in counts for latency in message["latencies_s"])
    assert [message["event"] for message in said if message["event"] != "progress"] == [
        "phase", "ready", "facts", "finished",
    ]  # fmt: skip


def test_a_traceback_has_no_line_of_ours(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text(
        "import torch, traceback\n"
        "class Net(torch.nn.Module):\n    def forward(self, x): return x / undefined\n"
        "net = torch.nn.Sequential(Net()).eval()\n"
        "for _ in range(3):\n    try: net(torch.ones(1))\n    except NameError: traceback.print_exc()\n"
        "net(torch.ones(1))\n"
    )
    texts = [
        subprocess.run(
            [torch_python(), *words, str(script)], capture_output=True, text=True, env=environment(), timeout=LIMIT_S
        )
        for words in ([], [RUNNER, "--count-calls"])
    ]
    alone, ours = (text.stderr for text in texts)
    assert [text.returncode for text in texts] == [1, 1]
    assert alone.count("Traceback") == 4
    if sys.version_info >= (3, 11):
        assert ours.partition("ipexlaunch: --count-calls counted nothing")[0] == alone
