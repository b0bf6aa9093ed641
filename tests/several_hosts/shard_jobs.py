"""A small job in shards, made as a person makes it, and what became of its items."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.several_hosts.lab import IPEXLAUNCH, ROOT

PROGRAM = """\
import socket, sys, time
from ipexlaunch import worker
for batch in worker.batches():
    time.sleep(float(sys.argv[1]) * len(batch.items))
    batch.done([{"host": socket.gethostname()} for _ in batch.items])
"""


@dataclass(frozen=True)
class ShardJob:
    """A job whose directory is `folder/job`."""

    folder: Path
    items: int

    @property
    def directory(self) -> Path:
        """Of the job."""
        return self.folder / "job"

    def rows(self) -> Counter[int]:
        """How often each item is in the merged results."""
        lines = (self.folder / "out.jsonl").read_text().splitlines()
        return Counter(json.loads(line)["id"] for line in lines)

    @property
    def expected(self) -> Counter[int]:
        """Each once."""
        return Counter(range(self.items))

    def attempts(self, shard: int) -> list[Path]:
        """The folders of the attempts at a shard."""
        return sorted((self.directory / f"shard-{shard:05d}").glob("attempt-*"))

    def done(self) -> int:
        """How many shards are."""
        return len(list(self.directory.glob("done-*")))

    def shards_of(self, host: str) -> list[int]:
        """The shards that a host has begun and not ended, where it has some rows of them."""
        found = []
        for about in self.directory.glob("shard-*/attempt-*/attempt.json"):
            rows = about.with_name("rows.jsonl")
            begun = json.loads(about.read_text())["host"] == host and rows.exists() and rows.stat().st_size > 0
            if begun and not about.with_name("ended.json").exists():
                found.append(int(about.parts[-3].removeprefix("shard-")))
        return found


def make_job(
    folder: Path, *, items: int = 240, shards: int = 6, seconds: float = 0.02, more: Sequence[str] = ()
) -> ShardJob:
    """Make a job with `shards make`.

    Args:
        folder: of everything; it is made.
        items: of the input.
        shards: how many.
        seconds: that an item takes.
        more: options.
    """
    folder.mkdir(exist_ok=True)
    (folder / "work.py").write_text(PROGRAM)
    (folder / "in.jsonl").write_text("".join(json.dumps({"id": number}) + "\n" for number in range(items)))
    words = ["--input", "in.jsonl", "--output", "out.jsonl", "--shards", str(shards), "--ninstances", "1"]
    last = ["--id-field", "id", "--batch-size", "1", *more, "work.py", str(seconds)]
    done = subprocess.run(
        [*IPEXLAUNCH, "shards", "make", "job", *words, *last],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return ShardJob(folder, items)
