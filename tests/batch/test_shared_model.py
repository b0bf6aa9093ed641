"""A batch job whose workers share one model, and are killed: every item is answered once, and alike."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.batch.check_results import rows_of
from tests.cli.shared_starts import command, environment, two_cores
from tests.examples.run_examples import torch_python

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.torch, two_cores]

ITEMS = 400
KILLS = 3


def children(pid: int) -> dict[int, bytes]:
    """The launcher's living children that are workers or fork them, to their variables."""
    found = {}
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                variables = Path(f"/proc/{child}/environ").read_bytes()
                if b"\0IPEXLAUNCH_INDEX=" in variables:
                    found[int(child)] = variables
    return found


def test_every_item_is_answered_once_though_workers_and_their_template_are_killed(tmp_path: Path) -> None:
    given, output, report = tmp_path / "in.txt", tmp_path / "out.jsonl", tmp_path / "report.json"
    given.write_text("".join(f"word {n % 7}\n" for n in range(ITEMS)))
    words = [
        "--input", str(given), "--output", str(output), "--model", "random:bert-tiny", "--engine", "eager",
        "--dtype", "fp32", "--batch-size", "1", "--input-tokens", "16", "--report", str(report),
        "--attempts", "99",
    ]  # fmt: skip
    line = [*command()[:3], "batch", "--ninstances", "2", "--python", torch_python(), *words]
    process = subprocess.Popen(line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killed: list[int] = []
    while process.poll() is None:
        forked = {pid for pid, variables in children(process.pid).items() if b"\0IPEXLAUNCH_TEMPLATE=" not in variables}
        templates = children(process.pid).keys() - forked
        answered = output.exists() and output.stat().st_size > 0
        victims = sorted(forked) if len(killed) % 3 else sorted(templates if answered else ())
        if len(killed) < KILLS and answered and victims and victims[-1] not in killed:
            os.kill(victims[-1], signal.SIGKILL)
            killed.append(victims[-1])
        time.sleep(0.05)
    _, told = process.communicate()
    assert process.returncode == 0, told
    assert len(killed) > 1
    rows = rows_of(output)
    assert sorted(row["number"] for row in rows) == list(range(ITEMS))
    assert len({json.dumps(row["result"]) for row in rows}) == 7
    document = json.loads(report.read_text())
    assert not any("is not shared" in warning for warning in document["warnings"])
    assert all("sharing the start" in instance["phases_s"] for instance in document["instances"])
