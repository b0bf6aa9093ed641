"""A model on an accelerator, by a stand-in for torch.xpu: nothing here has been run on hardware."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.examples.run_examples import run, torch_python


@pytest.mark.torch
@pytest.mark.process
@pytest.mark.slow
def test_inputs_go_to_the_device_and_answers_come_back_right() -> None:
    done = run(torch_python(), str(Path(__file__).with_name("observe_device.py")))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for task in ("embed", "generate"):
        assert found[task]["moved"] == ["attention_mask", "input_ids"]
        assert found[task]["facts"] == {"device": "xpu", "device_name": "Stand-in 0"}
    assert found["embed"]["cosine"] > 0.9999
    assert found["generate"]["agreement"] == 1.0
    # Every token's time is noted after the device has been waited for.
    assert found["generate"]["steps"] == 3
    assert found["generate"]["synchronized"] >= 4
    assert "cannot run on xpu: torch" in found["none"]
    assert "sees none; install a torch for Intel GPUs" in found["none"]
    assert "engine eager is torch without quantisation" in found["int8"]
