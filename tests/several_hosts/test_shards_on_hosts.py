"""Shards on three hosts: one is lost and comes back as a zombie, locks mean nothing, a disk is not coherent."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.batch.check_results import problems_of
from tests.batch.shards.shard_jobs import DOUBLE, preloaded, write_items
from tests.several_hosts.lab import IPEXLAUNCH, HostProcess, Lab, wait_for
from tests.several_hosts.remote_shell import RemoteShell

pytestmark = [pytest.mark.hosts, pytest.mark.process]

ITEMS = 360
SHARDS = 6

NO_LOCKS = "int flock(int file, int how) { return 0; }"


@dataclass
class HostsJob:
    """A job whose files every host sees in one folder, under one path."""

    lab: Lab
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    served: Path | None = None
    """The same folder as this process sees it, where that is another place."""

    @property
    def seen(self) -> Path:
        """Where this process finds the files."""
        return self.served or self.folder

    def start(self, host: str, *words: str, slow: str = "0") -> HostProcess:
        """Begin a command on a host."""
        return self.lab.on(
            host, [*IPEXLAUNCH, *words], cwd=self.folder,
            env={**self.environment, "SLOW": slow}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def command(self, host: str, *words: str) -> tuple[int, str]:
        """(Exit code, what was said) of one."""
        process = self.start(host, *words)
        said, _ = process.communicate(timeout=240)
        return process.returncode, said

    def make(self, host: str) -> None:
        """Write the input and the program, and make the job."""
        write_items(self.seen / "in.jsonl", ITEMS)
        (self.seen / "program.py").write_text(DOUBLE)
        words = ["--id-field", "id", "--batch-size", "4", "--ninstances", "1", "program.py"]
        code, said = self.command(
            host,
            "shards",
            "make",
            "job",
            "--input",
            "in.jsonl",
            "--output",
            "out.jsonl",
            "--shards",
            str(SHARDS),
            *words,
        )
        assert code == 0, said

    def rows(self, index: int, attempt: int) -> int:
        """Results of an attempt so far."""
        path = self.seen / "job" / f"shard-{index:05d}" / f"attempt-{attempt}" / "rows.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def signal_all(self, host: str, number: int) -> None:
        """Signal the launcher and its workers on a host."""
        assert self.lab.kill_all(host, "python", number)


def wake(job: HostsJob, host: str, process: HostProcess) -> None:
    """Have a host's processes go on; nsenter stops itself with what it has started."""
    job.signal_all(host, signal.SIGCONT)
    os.kill(process.pid, signal.SIGCONT)


def run_the_rest(job: HostsJob, hosts: Sequence[str], indexes: Sequence[int]) -> list[str]:
    """Try shards on hosts, one each at a time; what was said."""
    waiting, said = list(indexes), []
    busy: dict[str, HostProcess] = {}
    while waiting or busy:
        for host in hosts:
            if host not in busy and waiting:
                busy[host] = job.start(host, "shards", "run", "job", "--index", str(waiting.pop(0)))
        host, process = next(iter(busy.items()))
        text, _ = process.communicate(timeout=240)
        assert process.returncode == 0, text
        said.append(text)
        del busy[host]
    return said


def lose_one_in_the_middle(job: HostsJob, host: str, others: Sequence[str]) -> None:
    """A host stops in the middle of a shard, others do everything, then it goes on as if nothing had been."""
    zombie = job.start(host, "shards", "run", "job", "--index", "2", slow="0.05")
    wait_for("rows", lambda: job.rows(2, 0) >= 8)
    job.signal_all(host, signal.SIGSTOP)
    had = job.rows(2, 0)
    run_the_rest(job, others, range(SHARDS))
    wake(job, host, zombie)
    text, _ = zombie.communicate(timeout=120)
    assert zombie.returncode == 0, text
    assert "attempt 0 came second" in text
    assert job.rows(2, 0) > had  # it went on writing
    code, said = job.command(others[0], "shards", "merge", "job")
    assert code == 0, said
    assert problems_of(job.folder / "in.jsonl", job.folder / "out.jsonl", lambda item: 2 * item["n"]) == []


@pytest.mark.parametrize("locks", [True, False])
def test_a_host_that_comes_back_as_a_zombie_changes_nothing(lab: Lab, tmp_path: Path, locks: bool) -> None:
    (tmp_path / "data").mkdir()
    environment = {} if locks else {"LD_PRELOAD": str(preloaded(tmp_path / "library", NO_LOCKS))}
    job = HostsJob(lab, tmp_path / "data", environment)
    job.make("h1")
    lose_one_in_the_middle(job, "h2", ["h1", "h3"])


def test_a_host_without_power_is_taken_over_by_another(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    job = HostsJob(lab, tmp_path / "data")
    job.make("h1")
    lost = job.start("h2", "shards", "run", "job", "--index", "0", slow="0.05")
    wait_for("rows", lambda: job.rows(0, 0) >= 8)
    lab.power_off("h2")
    lost.communicate(timeout=60)
    had = job.rows(0, 0)
    said = run_the_rest(job, ["h1", "h3"], range(SHARDS))
    assert any(f"of which attempt 0 had {had} results" in text for text in said)
    code, text = job.command("h3", "shards", "merge", "job")
    assert code == 0, text
    assert problems_of(job.folder / "in.jsonl", job.folder / "out.jsonl", lambda item: 2 * item["n"]) == []


def not_coherent(lab: Lab, shell: RemoteShell, tmp_path: Path) -> Path:
    """A folder of h1 that the others see through sshfs, all under one path."""
    served, seen = tmp_path / "served", tmp_path / "seen"
    served.mkdir()
    seen.mkdir()
    lab.run("h1", ["mount", "--bind", served, seen], check=True)
    for host in ("h2", "h3"):
        shell.mount(host, of="h1", folder=served, at=seen)
    return seen


def test_on_a_file_system_that_is_not_coherent(lab: Lab, remote_shell: RemoteShell, tmp_path: Path) -> None:
    seen = not_coherent(lab, remote_shell, tmp_path)
    job = HostsJob(lab, seen, served=tmp_path / "served")
    job.make("h2")
    zombie = job.start("h2", "shards", "run", "job", "--index", "2", slow="0.05")
    wait_for("rows", lambda: job.rows(2, 0) >= 8)
    job.signal_all("h2", signal.SIGSTOP)
    run_the_rest(job, ["h3"], range(SHARDS))
    wake(job, "h2", zombie)
    text, _ = zombie.communicate(timeout=120)
    assert (zombie.returncode, "attempt 0 came second" in text) == (0, True), text
    both = [job.start(host, "shards", "merge", "job") for host in ("h2", "h3")]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    served = tmp_path / "served"
    assert problems_of(served / "in.jsonl", served / "out.jsonl", lambda item: 2 * item["n"]) == []


def test_one_output_from_three_hosts_has_one_winner(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    library = preloaded(tmp_path / "library", NO_LOCKS)
    job = HostsJob(lab, tmp_path / "data", {"LD_PRELOAD": str(library)})
    write_items(job.folder / "in.jsonl", ITEMS)
    (job.folder / "program.py").write_text(DOUBLE)
    words = ["batch", "--input", "in.jsonl", "--output", "out.jsonl", "--id-field", "id", "--ninstances", "1"]
    all_three = [job.start(host, *words, "program.py", slow="0.005") for host in lab.names]
    said = [process.communicate(timeout=240)[0] for process in all_three]
    codes = sorted(process.returncode for process in all_three)
    assert codes[0] == 0, said
    assert all(code in (2, 75) for code in codes[1:]), said
    assert problems_of(job.folder / "in.jsonl", job.folder / "out.jsonl", lambda item: 2 * item["n"]) == []
