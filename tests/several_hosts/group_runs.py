"""Launchers of one group, as an engine starts them: each a real `ipexlaunch --across-hosts`, on this host or not."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.several_hosts.lab import IPEXLAUNCH, ROOT

WORK = """\
import os, sys, time
from ipexlaunch import worker

rank, index = int(os.environ["IPEXLAUNCH_HOST_RANK"]), int(os.environ["IPEXLAUNCH_INDEX"])
wanted = dict(word.split("=") for word in sys.argv[1:])
time.sleep(float(wanted.get("load", "0.1")) + 0.7 * rank / 2)
if wanted.get("fails") == str(rank):
    sys.exit(7)
if wanted.get("hangs") == str(rank):
    time.sleep(1000)
worker.ready()
open(f"began-{rank}-{index}", "w").close()
end = time.monotonic() + float(wanted.get("seconds", "2"))
while time.monotonic() < end:
    time.sleep(0.02)
    worker.count(items=1 + rank)
worker.finish()
"""
"""Loads that differ by 0.7 s over three hosts; then work that counts, and a file that says that it began."""


@dataclass
class Ended:
    """One host of a group at its end."""

    code: int
    out: str
    err: str


def script(folder: Path) -> Path:
    """The program of all hosts."""
    path = folder / "work.py"
    path.write_text(WORK)
    return path


def words(directory: Path | str | None, *more: str | Path, instances: int = 2) -> list[str]:
    """The command, without what says the rank."""
    where = [] if directory is None else ["--run-dir", str(directory)]
    return [*IPEXLAUNCH, "--across-hosts", *where, "--ninstances", str(instances), *map(str, more)]


def begin(
    rank: int,
    hosts: int,
    directory: Path | None,
    *more: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> subprocess.Popen[str]:
    """Start one host of a group on this machine."""
    return subprocess.Popen(
        words(directory, "--host-rank", str(rank), "--hosts", str(hosts), *options, *more, instances=1),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, env={**variables(), **(env or {})},
    )  # fmt: skip


def variables() -> dict[str, str]:
    """Of a launcher on a machine that others use."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "IPEXLAUNCH_LOST_TIME": "1"}


def end(process: subprocess.Popen[str], within_s: float = 60.0) -> Ended:
    """Wait for the end of a host; one that does not end fails the test."""
    try:
        out, err = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not end within {within_s:g} s:\n{out}{err}") from None
    return Ended(process.returncode, out, err)


def group_in(directory: Path) -> Any:
    """What the first host has written of all."""
    return json.loads((directory / "group.json").read_text())


def true_rate(directory: Path) -> float:
    """The rate as it was: all hosts share a kernel, and so a clock, which the launchers do not know of."""
    begun, ended, items = [], [], 0
    for events in directory.glob("host-*/events.jsonl"):
        rows = [json.loads(line) for line in events.read_text().splitlines()[1:]]
        begun += [row["time"] for row in rows if row["event"] == "go"]
        for row in rows:
            if row["event"] == "counts":
                items += sum(row["items"])
                ended.append(max(row["times"]))
    return float(items / (max(ended) - min(begun)))
