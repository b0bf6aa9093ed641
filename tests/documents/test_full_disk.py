"""Where nothing more can be written, every older file stays whole, and no half of a new one is left beside it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.page.made_runs import keep_made_run

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]


def fill_the_disk() -> None:
    """Every write to a file fails from here, as on a disk that is full; pipes go on."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.parametrize(
    "line",
    [
        "run --ninstances 1 --report old.json script.py",
        "run --ninstances 1 --run-dir kept script.py",
        "run --ninstances 1 --metrics-file old.prom script.py",
        "report made --html old.html",
        "topology --save old.tar.gz",
        "plan --topology 2s --export systemd --export-dir units /bin/true",
        "batch --ninstances 1 --input in.jsonl --output old.jsonl --resume script.py",
    ],
)
def test_the_older_file_stays(line: str, tmp_path: Path) -> None:
    if "--html" in line:
        pytest.importorskip("matplotlib")
        keep_made_run(tmp_path / "made", "1s 1n 2c 1t", 1, seconds=1.0)
    (tmp_path / "units").mkdir()
    for name in ("old.json", "old.prom", "old.html", "old.tar.gz", "units/ipexlaunch-0.service"):
        (tmp_path / name).write_text("old")
    (tmp_path / "script.py").write_text("")
    (tmp_path / "in.jsonl").write_text("1\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", *line.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=fill_the_disk,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    assert "file too large" in done.stderr.lower()
    assert done.returncode != 0 or "--metrics-file" in line
    for path, content in before.items():
        assert path.read_bytes() == content
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path not in before]
    assert all(path.stat().st_size == 0 and path.name in ("old.jsonl", "old.jsonl.ledger") for path in left), left
