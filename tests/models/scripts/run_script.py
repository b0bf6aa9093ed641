"""Starts models/run_script.py the way the launcher does: by its path, with the folder that has ipexlaunch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import ipexlaunch
from tests.examples.status_channel import without_launcher

PACKAGE = Path(ipexlaunch.__file__).parent
RUNNER = str(PACKAGE / "models" / "run_script.py")
LIMIT_S = 120.0


def environment() -> dict[str, str]:
    """What a worker gets: nothing of an outer launcher, and ipexlaunch on PYTHONPATH."""
    return without_launcher(os.environ) | {"PYTHONPATH": str(PACKAGE / "worker" / "import_path")}


def python(
    *words: str, cwd: Path, runner: tuple[str, ...] = (), variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -u [RUNNER OPTIONS] WORDS`, with this interpreter."""
    return subprocess.run(
        [sys.executable, "-u", *runner, *words],
        cwd=cwd,
        env=environment() | dict(variables or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
