"""The labs do what they say: hosts apart, lost without a word, back again, and nothing left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.several_hosts.lab import ROOT, Lab, children_of, wait_for
from tests.several_hosts.remote_shell import RemoteShell
from tests.several_hosts.slurm_lab import SlurmLab

pytestmark = [pytest.mark.hosts, pytest.mark.process]

WHO = "uname -n; cat /proc/sys/kernel/random/boot_id; echo $$"


def reaches(lab: Lab, host: str, other: str) -> bool:
    """Whether a line that one host sends arrives at another."""
    listen = "import socket; s = socket.create_server(('', 7007)); print('up', flush=True); s.accept()"
    server = lab.on(other, [sys.executable, "-c", listen], stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "up\n"
    send = f"import socket; socket.create_connection(('{other}', 7007), 1)"
    code = lab.run(host, [sys.executable, "-c", send]).returncode
    server.kill()
    server.wait()
    server.stdout.close()
    return code == 0


def test_hosts_are_apart_and_reach_one_another(lab: Lab) -> None:
    told = [lab.run(host, ["sh", "-c", WHO]).stdout.split() for host in lab.names]
    assert [words[0] for words in told] == ["h1", "h2", "h3"]
    assert len({words[1] for words in told}) == 3
    assert reaches(lab, "h1", "h2")
    before = lab.processes("h2")
    process = lab.on("h2", ["sleep", "1000"])
    wait_for("sleep", lambda: "sleep 1000" in lab.processes("h2").values())
    assert before == lab.processes("h1") == {}
    process.terminate()
    assert process.wait() == -signal.SIGTERM
    assert lab.run("h3", ["sh", "-c", "echo out; echo err >&2; exit 7"]).returncode == 7


def test_a_link_that_is_down_loses_everything_and_comes_back(lab: Lab) -> None:
    lab.link_down("h3")
    assert not reaches(lab, "h1", "h3")
    assert reaches(lab, "h1", "h2")
    lab.restore("h3")
    assert reaches(lab, "h1", "h3")


def test_power_off_ends_every_process_and_a_restored_host_is_another_boot(lab: Lab) -> None:
    before = lab.run("h2", ["sh", "-c", WHO]).stdout.split()[1]
    stubborn = lab.on("h2", ["sh", "-c", "trap '' INT TERM HUP; setsid sleep 1000 & sleep 1000"])
    wait_for("two of them", lambda: len(lab.processes("h2")) == 3)
    pids = list(lab.processes("h2"))
    lab.power_off("h2")
    assert stubborn.wait(10) == -signal.SIGKILL
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    lab.restore("h2")
    assert lab.run("h2", ["sh", "-c", WHO]).stdout.split()[1] != before
    assert reaches(lab, "h1", "h2")


MAKE_ANOTHER = """
import sys, time
from pathlib import Path
from tests.several_hosts.lab import three_hosts
with three_hosts(Path(sys.argv[1])) as lab:
    lab.on("h1", ["sleep", "1000"])
    print(lab.run("h1", ["uname", "-n"]).stdout, flush=True)
    time.sleep(1000)
"""


def below(pid: int) -> list[int]:
    """A process and all that descend from it."""
    return [pid, *(each for child in children_of(pid) for each in below(child))]


def test_nothing_of_a_lab_is_left_when_whoever_made_it_is_killed(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    words = [sys.executable, "-c", MAKE_ANOTHER, str(tmp_path / "other")]
    maker = lab.on("h1", words, stdout=subprocess.PIPE, cwd=ROOT)
    assert maker.stdout is not None
    assert maker.stdout.readline() == "h1\n"
    pids = below(maker.inner_pid)
    assert len({os.readlink(f"/proc/{pid}/ns/net") for pid in pids}) == 5, "ours, the other's network and hosts"
    maker.kill()
    assert maker.wait() == -signal.SIGKILL
    maker.stdout.close()
    wait_for("the end of the other lab", lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


@pytest.mark.slurm
def test_slurm_runs_jobs_on_all_hosts_and_starts_those_of_a_lost_one_again(slurm: SlurmLab, tmp_path: Path) -> None:
    told = slurm.run(["srun", "-N3", "--ntasks-per-node=1", "sh", "-c", "echo $(uname -n) $SLURM_PROCID"], check=True)
    assert sorted(told.stdout.splitlines()) == ["h1 0", "h2 1", "h3 2"]
    script = 'echo ${SLURM_RESTART_COUNT:-0} $SLURMD_NODENAME; [ -n "$SLURM_RESTART_COUNT" ] || sleep 1000'
    words: list[str | Path] = [
        "sbatch",
        "--parsable",
        "--requeue",
        "--open-mode=append",
        "--exclude=h1",
        "-o",
        tmp_path / "out",
    ]
    job = slurm.run([*words, "--wrap", script], check=True).stdout.strip()
    wait_for("the job", lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_text() == "0 h2\n")
    slurm.lab.power_off("h2")
    slurm.lose("h2")
    slurm.requeue_now(job, away_from="h2")
    slurm.wait_until_empty()
    assert (tmp_path / "out").read_text() == "0 h2\n1 h3\n"
    slurm.lab.restore("h2")
    slurm.start_daemon("h2")
    wait_for("all hosts", lambda: slurm.states() == ["idle", "idle", "idle"])


def test_mpirun_starts_a_rank_on_each_host(remote_shell: RemoteShell) -> None:
    words = [*remote_shell.mpirun(), "--map-by", "ppr:1:node", "--bind-to", "none"]
    told = remote_shell.lab.run("h1", [*words, "sh", "-c", "echo $(uname -n) $OMPI_COMM_WORLD_RANK"], check=True)
    assert sorted(told.stdout.splitlines()) == ["h1 0", "h2 1", "h3 2"]


def test_sshfs_shows_a_folder_without_its_locks(remote_shell: RemoteShell, tmp_path: Path) -> None:
    lab = remote_shell.lab
    (tmp_path / "data").mkdir()
    (tmp_path / "seen").mkdir()
    remote_shell.mount("h2", of="h1", folder=tmp_path / "data", at=tmp_path / "seen")
    lab.run("h2", ["sh", "-c", "echo written > file"], cwd=tmp_path / "seen", check=True)
    assert (tmp_path / "data" / "file").read_text() == "written\n"
    assert list((tmp_path / "seen").iterdir()) == []
    lock = ["flock", "--nonblock", "file", "true"]
    holder = lab.on("h1", ["flock", "file", "sleep", "1000"], cwd=tmp_path / "data")
    wait_for("a lock", lambda: lab.run("h1", lock, cwd=tmp_path / "data").returncode == 1)
    assert lab.run("h2", lock, cwd=tmp_path / "seen").returncode == 0, "sshfs carries locks"
    holder.kill()
    holder.wait()
