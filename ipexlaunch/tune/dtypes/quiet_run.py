"""Runs a launch on the ordinary supervised path, with the workers' output kept out of sight."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from ipexlaunch.errors import EndedBySignal
from ipexlaunch.launch.bind import adopt_orphans, held_to
from ipexlaunch.launch.confine import open_confinement
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.lifecycle import Limits, signal_code
from ipexlaunch.launch.placement.inspect_workers import Inspector
from ipexlaunch.launch.read_host_counters import count_oom_kills
from ipexlaunch.launch.run_record import Run
from ipexlaunch.launch.share_start import Sharing
from ipexlaunch.launch.supervise import LONG_PHASE_S, OutputOptions, SupervisorCallbacks, supervise
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.launch.throughput_regex import LineRule
from ipexlaunch.machine.proc_files import descendants

LAST_WORDS_BYTES = 4096


def run_quietly(
    launch: Launch,
    inherited: Mapping[str, str],
    tell: Callable[[str], None],
    directory: str,
    limits: Limits | None = None,
    line_rule: LineRule | None = None,
    confine: str = "no",
    share: Callable[[Launch], tuple[Launch, Sharing]] = lambda launch: (launch, Sharing()),
    observers: Sequence[Observer] = (),
) -> Run:
    """Run every worker of a launch to its end; each one's output goes to DIRECTORY/INDEX.log.

    Args:
        launch: what to start.
        inherited: environment of the workers, before their own additions.
        tell: says a line to the user.
        directory: exists.
        limits: time limits; None for none.
        line_rule: counts work in what the workers print.
        confine: whether each worker gets a cgroup of its own, see `open_confinement`; what it refuses is not told.
        observers: told what happens; then what takes long is not told as a line.
        share: tells how the workers share their start, and changes what must be otherwise for that.

    Raises:
        EndedBySignal: the run was interrupted; its workers are gone.
        BindError: a worker could not be bound.
    """
    confinement = None if confine == "no" else open_confinement(confine)[0]
    launch, sharing = share(launch)
    inspector = Inspector()
    callbacks = SupervisorCallbacks(
        bind_thread=lambda cpus, policy, nodes: held_to(cpus, policy, nodes, strict=False),
        read_placement=inspector,
        read_placement_if_cheap=inspector.glance,
        descendants=descendants,
        oom_kills=count_oom_kills,
        tell=tell,
        confinement=confinement,
    )
    logs = {worker.instance.index: log_path(directory, worker.instance.index) for worker in launch.workers}
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    long_phase_s = None if observers else LONG_PHASE_S
    showing = OutputOptions(outputs=(nowhere, nowhere), logs=logs, line_rule=line_rule, long_phase_s=long_phase_s)
    adopt_orphans()
    try:
        run = supervise(launch, callbacks, inherited, limits or Limits(), showing, observers, sharing=sharing)
    finally:
        os.close(nowhere)
        if confinement is not None:
            confinement.close()
    if run.signal is not None:
        raise EndedBySignal(signal_code(run.signal))
    return run


def log_path(directory: str, index: int) -> str:
    """Where the output of an instance's worker is."""
    return os.path.join(directory, f"{index}.log")


def last_words(directory: str, index: int) -> str:
    """The last line of an instance's worker that is not empty; "" where it was never started, so that there is none."""
    try:
        with open(log_path(directory, index), "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LAST_WORDS_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
