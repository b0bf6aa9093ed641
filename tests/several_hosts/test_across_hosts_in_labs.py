"""`--across-hosts` on hosts of their own: by hand, under Slurm, under mpirun, under both; with hosts that are lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.several_hosts.group_runs import group_in, script, true_rate, variables, words
from tests.several_hosts.lab import IPEXLAUNCH, HostProcess, Lab, wait_for
from tests.several_hosts.remote_shell import RemoteShell
from tests.several_hosts.slurm_lab import SlurmLab

pytestmark = [pytest.mark.hosts, pytest.mark.process]


def by_hand(lab: Lab, folder: Path, work: Path, *more: str, options: Sequence[str] = ()) -> dict[str, HostProcess]:
    """One launcher on each host, as a driver of Ray or a pod has it."""
    started = {}
    for rank, host in enumerate(lab.names):
        line = words(folder / "run", "--host-rank", str(rank), "--hosts", str(len(lab.names)), *options, work, *more)
        started[host] = lab.on(
            host, line, cwd=folder, env=variables(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    return started


def ended(started: dict[str, HostProcess]) -> dict[str, tuple[int, str]]:
    """Exit codes and what was said; hosts that are gone have none."""
    told = {host: process.communicate(timeout=60)[0] for host, process in started.items()}
    return {host: (started[host].returncode, told[host]) for host in started}


def begun(folder: Path, workers: int = 6) -> None:
    wait_for("work on all hosts", lambda: len(list(folder.glob("began-*"))) == workers)


def check_total(folder: Path) -> Any:
    """The group, whose rate was what it says."""
    group = group_in(folder / "run")
    assert group["valid"], group
    total = group["total"]
    assert total["rate"] * (1 - 1e-9) <= true_rate(folder / "run") <= total["highest_rate"] * (1 + 1e-9)
    return group


def no_worker_is_left(lab: Lab) -> bool:
    lines = [line for host in lab.names for line in lab.processes(host).values()]
    return not any("ipexlaunch" in line or "work.py" in line for line in lines)


def test_three_hosts_have_one_true_total(lab: Lab, tmp_path: Path) -> None:
    told = ended(by_hand(lab, tmp_path, script(tmp_path)))
    assert [code for code, _ in told.values()] == [0, 0, 0], told
    group = check_total(tmp_path)
    assert [host["name"] for host in group["hosts"]] == ["h1", "h2", "h3"]
    assert [host["instances"] for host in group["hosts"]] == [2, 2, 2]


def test_a_killed_launcher_ends_all_hosts(lab: Lab, tmp_path: Path) -> None:
    started = by_hand(lab, tmp_path, script(tmp_path), "seconds=100")
    begun(tmp_path)
    started["h2"].kill()
    told = ended(started)
    assert [told[host][0] for host in ("h1", "h3")] == [4, 4], told
    assert all("host h2 (rank 1) was lost" in told[host][1] for host in ("h1", "h3"))
    assert group_in(tmp_path / "run")["reasons"][0].startswith("host h2 (rank 1) was lost")
    wait_for("the end of all workers", lambda: no_worker_is_left(lab))


def test_a_link_that_is_down_ends_all_hosts(lab: Lab, tmp_path: Path) -> None:
    started = by_hand(lab, tmp_path, script(tmp_path), "seconds=100")
    begun(tmp_path)
    lab.link_down("h3")
    told = ended(started)
    assert [code for code, _ in told.values()] == [4, 4, 4], told
    assert "INVALID: host h3 (rank 2) was not heard of for 8 s" in told["h2"][1]
    assert "the first host, host h1 (rank 0), was not heard of for 8 s" in told["h3"][1]
    assert not group_in(tmp_path / "run")["valid"]
    assert no_worker_is_left(lab)


def test_a_first_host_without_power_ends_the_others(lab: Lab, tmp_path: Path) -> None:
    started = by_hand(lab, tmp_path, script(tmp_path), "seconds=100")
    begun(tmp_path)
    lab.power_off("h1")
    told = ended(started)
    assert [told[host][0] for host in ("h2", "h3")] == [4, 4], told
    assert all("host h1 (rank 0), was not heard of" in told[host][1] for host in ("h2", "h3"))
    assert no_worker_is_left(lab)
    shown = subprocess.run(
        [*IPEXLAUNCH, "report", str(tmp_path / "run")],
        capture_output=True, text=True, env=variables(), check=True,
    )  # fmt: skip
    assert "INVALID: there is no group.json: the first host was killed" in shown.stdout
    assert "host h2 (rank 1): " in shown.stdout


def test_a_port_of_the_sites_own_range_is_taken(lab: Lab, tmp_path: Path) -> None:
    process = lab.on("h1", [sys.executable, "-m", "http.server", "61000"], stderr=subprocess.DEVNULL)
    wait_for("a server", lambda: bool(lab.run("h1", ["ss", "-Hltn", "sport = :61000"]).stdout))
    told = ended(by_hand(lab, tmp_path, script(tmp_path), options=("--rendezvous-ports", "61000-61009")))
    assert [code for code, _ in told.values()] == [0, 0, 0], told
    assert '"port": 61001' in (tmp_path / "run" / "rendezvous.json").read_text()
    process.kill()
    process.wait()


@pytest.mark.slurm
def test_under_slurm(slurm: SlurmLab, tmp_path: Path) -> None:
    work = script(tmp_path)
    srun: list[str | Path] = ["srun", "-N3", "--ntasks-per-node=1", "-K1"]
    cpus = f"--cpus-per-task={len_cpus(slurm)}"
    told = slurm.run([*srun, cpus, *words(tmp_path / "run", work)], cwd=tmp_path, env=variables())
    assert told.returncode == 0, told
    assert len([line for line in told.stderr.splitlines() if line.startswith("total ")]) == 1
    group = check_total(tmp_path)
    assert {host["name"] for host in group["hosts"]} == {"h1", "h2", "h3"}
    # The traps of this engine: each is refused, with the line that works.
    line = words(tmp_path / "again", work, instances=1)
    one_core = slurm.run([*srun[:-1], "--exclusive", *line], cwd=tmp_path, env=variables())
    without = slurm.run(["salloc", "-N3", "--exclusive", *line], cwd=tmp_path, env=variables())
    two_here = slurm.run(["srun", "-N1", "-n2", *line], cwd=tmp_path, env=variables())
    for refused, why in (
        (one_core, "cpus that the job owns here; the rest stands idle; give one launch per host all of them: srun"),
        (without, "has 3 hosts, and without srun"),
        (two_here, "start one per host: srun"),
    ):
        assert refused.returncode == 2, refused
        assert why in refused.stderr
    assert not (tmp_path / "again").exists()
    # A failure: the largest code is srun's.
    failed = slurm.run([*srun, cpus, *words(tmp_path / "fails", work, "fails=2")], cwd=tmp_path, env=variables())
    assert failed.returncode == 7, failed
    assert "(rank 2): instance" in group_in(tmp_path / "fails")["reasons"][0]


def len_cpus(slurm: SlurmLab) -> int:
    """Cpus that a host of the cluster has."""
    return int(slurm.run(["sinfo", "-h", "-o", "%c"], check=True).stdout.split()[0].rstrip("+"))


def test_under_mpirun(remote_shell: RemoteShell, tmp_path: Path) -> None:
    started = [*remote_shell.mpirun(), "--map-by", "ppr:1:node", "--bind-to", "none"]
    exported = [word for name in ("PYTHONPATH", "IPEXLAUNCH_LOST_TIME") for word in ("-x", name)]
    line = [*started, *exported, *words(tmp_path / "run", script(tmp_path))]
    told = remote_shell.lab.run("h1", line, cwd=tmp_path, env=variables())
    assert told.returncode == 0, told
    assert check_total(tmp_path)["job"]


@pytest.mark.slurm
def test_under_mpirun_in_a_slurm_job(slurm: SlurmLab, tmp_path: Path) -> None:
    network = [word for layer in ("oob", "btl") for word in ("--mca", f"{layer}_tcp_if_include", "eth0")]
    mpirun = ["mpirun", "--allow-run-as-root", *network]
    line = [*mpirun, "--map-by", "ppr:1:node", "--bind-to", "none", *words(tmp_path / "run", script(tmp_path))]
    told = slurm.run(["salloc", "-N3", "--exclusive", *line], cwd=tmp_path, env=variables())
    assert told.returncode == 0, told
    group = check_total(tmp_path)
    assert sorted(host["rank"] for host in group["hosts"]) == [0, 1, 2]
    assert {host["name"] for host in group["hosts"]} == {"h1", "h2", "h3"}
