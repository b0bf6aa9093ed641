"""k6 as a load: the package on the index carries its program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

OPEN_LOOP = str(Path(__file__).with_name("open_loop.js"))


@dataclass(frozen=True, slots=True)
class Load:
    """What k6 counted."""

    requests: int
    failed: int
    """Without an answer, or with a status of 400 or more."""
    dropped: int
    """Not sent, because all its clients waited for answers."""
    p50_ms: float
    p99_ms: float
    highest_ms: float


class K6:
    """One load; it goes on until its time is over."""

    def __init__(self, folder: Path, url: str, rate: int, seconds: float, *, reuse: bool = False) -> None:
        """Begin.

        Args:
            folder: where it writes its summary.
            url: what is asked for.
            rate: requests a second.
            seconds: how long.
            reuse: whether its clients keep their connections.
        """
        self._summary = folder / "k6.json"
        variables = {
            **os.environ,
            "RATE": str(rate),
            "DURATION": f"{seconds:g}s",
            "URL": url,
            "CLIENTS": str(2 * rate),
            "REUSE": "yes" if reuse else "no",
            "K6_NO_USAGE_REPORT": "true",
        }
        self._process = subprocess.Popen(
            [program(), "run", "--quiet", "--address", "", "--summary-export", str(self._summary), OPEN_LOOP],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def result(self) -> tuple[Load, str]:
        """Wait for its end; what it counted, and what it said of failures."""
        said, _ = self._process.communicate(timeout=120)
        assert self._process.returncode == 0, said
        metrics = json.loads(self._summary.read_text(encoding="utf-8"))["metrics"]
        durations = metrics["http_req_duration"]
        load = Load(
            requests=metrics["http_reqs"]["count"],
            failed=metrics["http_req_failed"]["passes"],  # of the assertion that it failed
            dropped=metrics.get("dropped_iterations", {}).get("count", 0),
            p50_ms=durations["p(50)"],
            p99_ms=durations["p(99)"],
            highest_ms=durations["max"],
        )
        return load, said

    def close(self) -> None:
        """End it, whatever it does."""
        if not self.is_over():
            self._process.kill()
        self._process.communicate()


def program() -> str:
    """Where k6 is; the test is skipped where it is not installed."""
    beside = Path(sys.executable).with_name("k6")
    found = str(beside) if beside.exists() else shutil.which("k6")
    if found is None:
        pytest.skip("k6 is not installed")
    return found
