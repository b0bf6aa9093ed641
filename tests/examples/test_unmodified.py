"""examples/unmodified.py: a script that knows nothing of ipexlaunch, measured all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.run_examples import ROOT, check_report, ipex_python, launch

UNMODIFIED = "examples/unmodified.py"


@pytest.mark.ipex
@pytest.mark.process
@pytest.mark.slow
def test_its_calls_are_counted(tmp_path: Path) -> None:
    document = launch(tmp_path, "--python", ipex_python(), "--count-calls", UNMODIFIED, "--seconds", "4")
    check_report(document)
    for instance in document["instances"]:
        facts = instance["facts"]
        assert facts["counted"] == "BertModel"
        assert facts["warmup_calls"] == 1
        # Every batch but the last of each round is full.
        assert 7 * facts["calls"] <= instance["items"] <= 16 * facts["calls"]
        assert instance["latency_ms"]["p50"] > 0
        assert "warming up" in instance["phases_s"]


def test_it_is_a_plain_script() -> None:
    text = (ROOT / UNMODIFIED).read_text()
    assert "import ipexlaunch" not in text
    assert "from ipexlaunch" not in text
    assert len(text.splitlines()) <= 30
