"""The schemas of Kubernetes, by the package kubernetes-validate."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


def check_manifest(path: Path) -> None:
    """Let the schemas of several versions of Kubernetes judge a manifest, unknown keys included."""
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is not installed")
    for version in ("1.31", "1.33", "1.35"):
        words = [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
