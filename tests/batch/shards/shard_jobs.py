"""Jobs in shards as a user makes and runs them: real commands and real workers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

DOUBLE = """
import os, sys, time
from ipexlaunch import worker
for batch in worker.batches():
    time.sleep(float(os.environ.get("SLOW", "0")) * len(batch))
    batch.done([2 * item["n"] for item in batch.items])
"""


@dataclass
class ShardJob:
    """A job in DIR "job" of a folder."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    """Words before every command: what enters another host, say."""

    @property
    def output(self) -> Path:
        """Where the results are merged."""
        return self.folder / "out.jsonl"

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        """Begin a command of `ipexlaunch shards`."""
        return subprocess.Popen(
            [*self.before, sys.executable, "-m", "ipexlaunch", "shards", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def command(self, *words: str, **more: str) -> tuple[int, str]:
        """(Exit code, what was said) of a command."""
        process = self.start(*words, **more)
        printed, said = process.communicate(timeout=240)
        return process.returncode, printed + said

    def make(self, *options: str, shards: int = 3, program: str | None = "program.py") -> str:
        """Make the job, of in.jsonl where nothing else is said; what was said."""
        words = options if "--input" in options else ("--input", "in.jsonl", *options)
        words = words if "--output" in options else ("--output", "out.jsonl", *words)
        tail = [] if program is None else ["--ninstances", "1", program]
        code, said = self.command("make", "job", *words, "--shards", str(shards), *tail)
        assert code == 0, said
        return said

    def run(self, index: int, *options: str, **more: str) -> tuple[int, str]:
        """Try a shard."""
        return self.command("run", "job", "--index", str(index), *options, **more)

    def start_run(self, index: int, *options: str, **more: str) -> subprocess.Popen[str]:
        """Begin to try a shard."""
        return self.start("run", "job", "--index", str(index), *options, **more)

    def merge(self) -> tuple[int, str]:
        """Merge."""
        return self.command("merge", "job")

    def rows_of_attempt(self, index: int, attempt: int) -> Path:
        """The results of an attempt."""
        return self.folder / "job" / f"shard-{index:05d}" / f"attempt-{attempt}" / "rows.jsonl"

    def done(self, index: int) -> bool:
        """Whether the shard is committed."""
        return (self.folder / "job" / f"done-{index:05d}").exists()


def write_items(path: Path, count: int) -> None:
    """Objects with an id, a number and something of unequal length."""
    lines = (json.dumps({"id": f"d{n}", "n": n, "pad": "x" * (n * 37 % 90)}) + "\n" for n in range(count))
    path.write_text("".join(lines))


def sharded(folder: Path, count: int, *options: str, shards: int = 3, script: str = DOUBLE) -> ShardJob:
    """A job of so many items, made."""
    folder.mkdir(exist_ok=True)
    write_items(folder / "in.jsonl", count)
    (folder / "program.py").write_text(script)
    job = ShardJob(folder)
    job.make("--id-field", "id", *options, shards=shards)
    return job


def plain_batch(folder: Path, *words: str) -> tuple[int, str]:
    """One batch job, as a user types it."""
    done = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "batch", "--no-progress", *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=240,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def preloaded(folder: Path, source: str) -> Path:
    """A library of this C, for LD_PRELOAD; the test is skipped where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder.mkdir(exist_ok=True)
    (folder / "preloaded.c").write_text(source + "\n")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", "preloaded.so", "preloaded.c", "-ldl"], cwd=folder, check=True)
    return folder / "preloaded.so"
