"""A real Slurm on the lab's hosts: the controller on the first, a daemon on each; its files lie in the lab's folder.

    slurm = start_slurm(lab)
    slurm.run(["srun", "-N3", "hostname"])

Every host of it has the cpus of this machine, and root is its only user (auth/none), so it says nothing of time or of
access. A host that is lost is marked down after 10 s of silence (Slurm's default is 300 s), and a job that is requeued
starts again at once where `requeue_now` is called (Slurm waits two minutes).
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.plan.slurm import SETTINGS, words_of_this_host
from tests.several_hosts.lab import WAIT_S, Lab, skip_without, wait_for

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "sinfo", "squeue", "scontrol")

CONFIGURATION = (
    SETTINGS
    + """\
ClusterName=lab
SlurmctldHost={first}({address})
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdTimeout=10
KillWait=5
MinJobAge=600
LaunchParameters=use_interactive_step
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
{nodes}
PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
)


@dataclass(frozen=True)
class SlurmLab:
    """A cluster whose hosts are idle."""

    lab: Lab
    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """With which Slurm's commands find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(
        self,
        words: Sequence[str | Path],
        *,
        host: str = "h1",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 2 * WAIT_S,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """As `Lab.run`, on the first host where no other is named."""
        return self.lab.run(
            host, words, cwd=cwd, env={**self.variables, **(env or {})}, timeout_s=timeout_s, check=check
        )

    def start_daemon(self, host: str) -> None:
        """Start slurmd, also of a host that was off."""
        self.lab.run(host, ["slurmd"], env=self.variables, check=True)

    def states(self) -> list[str]:
        """Of the hosts, in their order: idle, alloc, down and the like; with * where one does not answer."""
        return self.run(["sinfo", "-h", "-N", "-o", "%t"], check=True).stdout.split()

    def lose(self, host: str) -> None:
        """Tell the controller that a host is down, which it would find in some 30 s; requeues the jobs there."""
        self.run(["scontrol", "update", f"nodename={host}", "state=down", "reason=lab"], check=True)

    def submit(self, *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        """Submit with sbatch; gives the job's number.

        Args:
            words: options and the script.
            cwd: where the job starts; the lab's folder where none is given.
            env: variables that it is given too.
        """
        return self.run(["sbatch", "--parsable", *words], cwd=cwd, env=env, check=True).stdout.strip()

    def end_of(self, job: str, seconds: float = 2 * WAIT_S) -> str:
        """How a job ends: COMPLETED, FAILED and the like.

        Args:
            job: its number; it is no array.
            seconds: how long to wait for that at most.
        """
        wait_for(f"the end of job {job}", lambda: self.queued(job) not in ("PENDING", "RUNNING", "COMPLETING"), seconds)
        return self.queued(job)

    def queued(self, job: str) -> str:
        """State of a job or element in the queue (PENDING, RUNNING, COMPLETED ...); "" where none is known."""
        return self.run(["squeue", "-h", "-t", "all", "-j", job, "-o", "%T"]).stdout.strip()

    def requeue_now(self, job: str, *, away_from: str) -> None:
        """Let a job that was requeued start without Slurm's wait of two minutes, on another host than its first try.

        There it would meet what Slurm still has against that one.

        Args:
            job: number of the job, or of an array's element.
            away_from: that host, which takes no jobs from now on.
        """
        if self.lab.is_on(away_from):
            self.run(["scontrol", "update", f"nodename={away_from}", "state=drain", "reason=lab"], check=True)
        self.run(["scontrol", "update", f"jobid={job}", "starttime=now"], check=True)

    def wait_until_empty(self, seconds: float = 2 * WAIT_S) -> None:
        """Wait until no job is queued or runs."""
        wait_for("an empty queue", lambda: not self.run(["squeue", "-h"], check=True).stdout.strip(), seconds)


def start_slurm(lab: Lab) -> SlurmLab:
    """Start the daemons and wait until all hosts are idle; skips the test where Slurm is not installed."""
    skip_without(*PROGRAMS)
    slurm = SlurmLab(lab, lab.folder / "slurm")
    (slurm.folder / "state").mkdir(parents=True)
    (slurm.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    words = " ".join(word for word in words_of_this_host() if not word.startswith("NodeName="))
    nodes = [f"NodeName={name} NodeAddr={lab.address(name)} RealMemory=4000 {words}" for name in lab.names]
    first = lab.names[0]
    (slurm.folder / "slurm.conf").write_text(
        CONFIGURATION.format(first=first, address=lab.address(first), folder=slurm.folder, nodes="\n".join(nodes))
    )
    lab.run(first, ["slurmctld", "-c"], env=slurm.variables, check=True)
    for name in lab.names:
        slurm.start_daemon(name)
    wait_for("idle hosts", lambda: slurm.run(["sinfo", "-h", "-o", "%D %t"]).stdout.strip() == f"{len(lab.names)} idle")
    return slurm
