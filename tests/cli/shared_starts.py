"""Runs a program under `ipexlaunch --share-start`, two workers, and what is looked at afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.examples.status_channel import without_launcher

ROOT = Path(__file__).parents[2]
LIMIT_S = 240.0

SHARING = "sharing the start"
"""Phase of a worker that is to be forked."""

two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two workers need two cores")


@dataclass(frozen=True)
class Ended:
    """A run that is over."""

    code: int
    told: str
    """What the launcher said on stderr, the workers' lines among it."""
    out: str
    logs: list[str]
    """What each worker printed on both streams."""
    report: dict[str, Any]

    @property
    def is_shared(self) -> bool:
        """Whether all workers were forked from one process."""
        waited = [SHARING in instance["phases_s"] for instance in self.report["instances"]]
        return all(waited) and not any("is not shared" in warning for warning in self.report["warnings"])


def command(*words: str) -> list[str]:
    """`ipexlaunch --ninstances 2 WORDS`, or a repetition."""
    count = [] if "--replay" in words else ["--ninstances", "2"]
    return [sys.executable, "-m", "ipexlaunch", *count, *words]


def environment(**variables: str) -> dict[str, str]:
    """That of a shell that is not itself under ipexlaunch; `variables` win."""
    return without_launcher(os.environ) | {"PYTHONPATH": str(ROOT), "IPEXLAUNCH_LOST_TIME": "1", **variables}


def run(folder: Path, *words: str, **variables: str) -> Ended:
    """Run two workers to their end.

    Args:
        folder: where; gets logs and report.
        words: of the command line, behind --ninstances.
        variables: of the launcher.
    """
    logs, report = folder / "logs", folder / "report.json"
    shutil.rmtree(logs, ignore_errors=True)
    report.unlink(missing_ok=True)
    done = subprocess.run(
        command("--log-dir", str(logs), "--report", str(report), *words),
        cwd=folder, env=environment(**variables), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=LIMIT_S,
    )  # fmt: skip
    texts = [path.read_text() for path in sorted(logs.iterdir())] if logs.exists() else []
    document = json.loads(report.read_text()) if report.exists() else {}
    return Ended(done.returncode, done.stderr, done.stdout, texts, document)
