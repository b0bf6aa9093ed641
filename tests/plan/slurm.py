"""A Slurm controller and the daemon of this host, for one test: nothing outside a directory of theirs is used."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "sinfo")
READY_S = 120.0

SETTINGS = """\
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
"""
"""What any cluster of a test has: root is its only user, jobs have cores of their own, and nothing keeps accounts."""

CONFIGURATION = (
    SETTINGS
    + """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={first}
SlurmdPort={second}
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.log
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
{node} NodeAddr=127.0.0.1
PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
)


@contextmanager
def cluster(directory: Path) -> Iterator[dict[str, str]]:
    """Run a cluster of this host alone; gives the variables with which Slurm's commands find it.

    Args:
        directory: empty, for everything that the daemons write.
    """
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    if os.geteuid() != 0:
        pytest.skip("slurmd runs as root only")
    for name in ("state", "spool"):
        (directory / name).mkdir()
    first, second = _free_ports()
    text = CONFIGURATION.format(
        host=socket.gethostname().partition(".")[0], directory=directory, first=first, second=second,
        node=" ".join([*words_of_this_host(), "RealMemory=500"]),
    )  # fmt: skip
    (directory / "slurm.conf").write_text(text)
    (directory / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    environment = {**os.environ, "SLURM_CONF": str(directory / "slurm.conf")}
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        with open(directory / "output", "wb") as output:
            for command in (["slurmctld", "-D", "-c"], ["slurmd", "-D"]):
                daemons.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
        _wait_until_idle(environment, directory)
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(20)
            daemon.kill()
            daemon.wait()


def words_of_this_host() -> list[str]:
    """Its name and its cpus, as a configuration has them; memory is whoever tests' to say."""
    node, _, _ = subprocess.run(["slurmd", "-C"], capture_output=True, text=True, check=True).stdout.partition("\n")
    return [word for word in node.split() if not word.startswith("RealMemory=")]


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _wait_until_idle(environment: dict[str, str], directory: Path) -> None:
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        asked = subprocess.run(["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True, text=True)
        if asked.stdout.strip() == "idle":
            return
        time.sleep(0.2)
    pytest.fail(f"Slurm did not come up:\n{(directory / 'slurmd.log').read_text()[-3000:]}")
