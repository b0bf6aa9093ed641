"""The batch script for Slurm as a shell runs it; tests/several_hosts has it under a real Slurm."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ipexlaunch.plan.export_slurm import launch_script
from ipexlaunch.plan.own_launch import OwnLaunch

WORDS = ("a b", "$HOME `id` $(id)", 'quo"te', "it's", "", "line\nfeed", "{index}", "100%", "\\")

SHOW = f"{sys.executable} -c 'import sys; print(sys.argv[1:])'"

pytestmark = pytest.mark.process


def started(tmp_path: Path, text: str, *arguments: str) -> Sequence[str]:
    """The words that srun is given, by one that shows them."""
    (tmp_path / "srun").write_text(f'#!/bin/sh\n{SHOW} "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    (tmp_path / "script").write_text(text)
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_CPUS_ON_NODE": "112", "SLURM_JOB_ID": "7"}
    done = subprocess.run(
        ["bash", tmp_path / "script", *arguments], capture_output=True, text=True, env=variables, check=True
    )
    words: list[str] = ast.literal_eval(done.stdout)
    return words


@pytest.mark.parametrize("is_written", [True, False], ids=["written", "by whoever submits"])
@pytest.mark.parametrize(
    ("program", "ours"),
    [
        (("s.py", *WORDS), ["run", "--ninstances=2", "--env=A=$x 'y'", "s.py"]),
        (("./serve", *WORDS), ["run", "--ninstances=2", "--env=A=$x 'y'", "--no-python", "./serve"]),
        (("batch", "--input", *WORDS), ["batch", "--ninstances=2", "--env=A=$x 'y'", "--input"]),
    ],
)
def test_srun_is_given_ipexlaunch_with_every_word_as_it_is(
    program: tuple[str, ...], ours: list[str], is_written: bool, tmp_path: Path
) -> None:
    launch = OwnLaunch(
        launcher=("/opt/a b/ipexlaunch",), options=("--ninstances=2",), variables={"A": "$x 'y'"},
        program=program if is_written else (),
    )  # fmt: skip
    words = started(tmp_path, launch_script(launch, "headline", []), *(() if is_written else program))
    hosts = ["--nodes=1", "--ntasks=1", "--ntasks-per-node=1", "--cpus-per-task=112", "--kill-on-bad-exit=1"]
    assert words == [*hosts, "/opt/a b/ipexlaunch", *ours, *WORDS]


def test_several_hosts_are_one_run_in_a_directory_of_the_job(tmp_path: Path) -> None:
    words = started(tmp_path, launch_script(OwnLaunch(program=("s.py",), hosts=3), "headline", []))
    assert words[:3] == ["--nodes=3", "--ntasks=3", "--ntasks-per-node=1"]
    assert words[-5:] == ["ipexlaunch", "run", "--across-hosts", "--run-dir=runs/7", "s.py"]


LISTEN = """
import os, signal, sys, time
told = []
signal.signal(signal.SIGUSR1, lambda *_: told.append("USR1"))
print("up", flush=True)
while not told: time.sleep(0.01)
print(*told, flush=True)
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize(("program", "code", "requeued"), [
    (("batch", "--resume", "--input", "i"), 75, True), (("batch", "--resume", "--input", "i"), 4, False),
    (("batch", "--input", "i"), 75, False), (("s.py",), 75, False),
])  # fmt: skip
def test_a_warning_is_handed_on_and_75_of_a_batch_job_that_resumes_queues_it_again(
    program: tuple[str, ...], code: int, requeued: bool, tmp_path: Path
) -> None:
    (tmp_path / "listen.py").write_text(LISTEN)
    for name, text in (("srun", f"exec {sys.executable} {tmp_path}/listen.py {code}"), ("scontrol", 'echo "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    text = launch_script(OwnLaunch(program=program), "headline", [])
    assert ("#SBATCH --requeue" in text) is ("--resume" in program)
    (tmp_path / "script").write_text(text)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "2"}
    job = subprocess.Popen(["bash", tmp_path / "script"], stdout=subprocess.PIPE, text=True, env=environment)
    assert job.stdout is not None
    assert job.stdout.readline() == "up\n"
    job.send_signal(signal.SIGUSR1)
    assert job.stdout.read() == "USR1\n" + ("requeue 7\n" if requeued else "")
    assert job.wait() == code
    job.stdout.close()
