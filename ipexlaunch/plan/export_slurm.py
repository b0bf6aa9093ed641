"""A Slurm batch script: one launch on each host, bound and measured by ipexlaunch.

Source: sbatch(1), srun(1), scontrol(1).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ipexlaunch.errors import TRY_AGAIN
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.own_launch import COMMANDS, ON_SEVERAL_HOSTS, OwnLaunch

WARNING_S = 120
"""Time between Slurm's warning and the end of the job: what workers hold is finished in it."""

MOST_REQUEUES = 50
"""A job that is never done must not start for ever."""

REQUEUE = f"""\
if [ "$code" -eq {TRY_AGAIN} ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {MOST_REQUEUES} ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
"""
"""Slurm ends the script there, and starts it again after about two minutes."""

_IN_THE_BACKGROUND = """\
{command} &
job=$!
trap 'warned=1; kill -USR1 "$job" 2>/dev/null' USR1
while :; do
    warned=
    wait "$job"
    code=$?
    [ "$warned$code" = 1138 ] || break # else it was the warning that ended the wait
done
{requeue}exit "$code"
"""

_SORT_OUT = """\
case "$1" in
{commands}) command=$1; shift ;;
-* | *.py) command=run ;;
*) command=run; set -- --no-python "$@" ;;
esac
"""
"""The rules of `OwnLaunch` for words that whoever submits the script gives."""


def warned_script(command: str, is_requeued: bool) -> str:
    """Shell text that runs a command, hands Slurm's warning on to it and ends with its exit code.

    Args:
        command: shell words.
        is_requeued: whether exit code TRY_AGAIN queues the job again.
    """
    return _IN_THE_BACKGROUND.format(command=command, requeue=REQUEUE if is_requeued else "")


def header_lines(*options: str) -> list[str]:
    """The first lines of a batch script that has whole hosts, and is warned before its time is over.

    Args:
        options: of sbatch, beside those.
    """
    always = ("ntasks-per-node=1", "exclusive", "mem=0", f"signal=B:USR1@{WARNING_S}")
    return ["#!/bin/bash", *(f"#SBATCH --{option}" for option in (*options, *always))]


def launch_script(launch: OwnLaunch, headline: str, usage_check: Sequence[str]) -> str:
    """A script that runs as it is: `sbatch run-instances.sbatch`.

    Each host of the job has one launch with all cpus of the host. Partition, account and time are whoever submits it.

    Args:
        launch: what each host runs; without a program the script takes the words behind its name.
        headline: what it is, for a comment.
        usage_check: shell lines that refuse to run without a program.

    Raises:
        RequestError: see `OwnLaunch.check`.
    """
    launch.check()
    is_given, several = not launch.program, launch.hosts > 1
    hosts = f"--nodes={launch.hosts} --ntasks={launch.hosts} --ntasks-per-node=1"
    command = [
        f'srun {hosts} --cpus-per-task="$SLURM_CPUS_ON_NODE" --kill-on-bad-exit=1 \\\n   ',
        shlex.join(launch.launcher),
        '"$command"' if is_given else launch.command,
        *(['--across-hosts --run-dir="$run_dir"'] if several else []),
        shlex.join(launch.option_words),
        '"$@"' if is_given else shlex.join(launch.program_words),
    ]
    options = ["job-name=ipexlaunch", f"nodes={launch.hosts}"]
    options += ["requeue", "open-mode=append"] if launch.may_be_repeated else []
    comments = [headline, f"{counted(launch.hosts, 'whole host')}; partition, account and time are options of sbatch."]
    lines = [*header_lines(*options), *(f"# {comment}" for comment in comments), *usage_check]
    known = " | ".join(ON_SEVERAL_HOSTS if several else COMMANDS)
    return "".join(
        [
            *(f"{line}\n" for line in lines),
            _SORT_OUT.format(commands=known) if is_given else "",
            'run_dir="runs/$SLURM_JOB_ID${SLURM_RESTART_COUNT:+-$SLURM_RESTART_COUNT}"\n' if several else "",
            warned_script(" ".join(filter(None, command)), launch.may_be_repeated),
        ]
    )
