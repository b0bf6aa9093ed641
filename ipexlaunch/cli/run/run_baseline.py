"""--baseline: the first instance alone, on its own cores, before the run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from ipexlaunch.cli.run.watch_run import HostObserver
from ipexlaunch.cli.terminal import tell
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.launch.run_record import Run
from ipexlaunch.launch.supervise import OutputOptions, SupervisorCallbacks, supervise
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.machine.topology import Topology
from ipexlaunch.measure.scaling import Baseline, baseline_of
from ipexlaunch.measure.validity import disturbance_of, judge


def run_baseline(
    launch: Launch,
    topology: Topology,
    callbacks: SupervisorCallbacks,
    limits: Limits,
    showing: OutputOptions,
    observers: Sequence[Observer],
    proof_interval_s: float | None,
) -> Run:
    """Run the first worker of a launch to its end, with everything as it will be, but the other cores idle.

    Args:
        launch: of all workers.
        topology: the machine.
        means: as for the run.
        limits: as for the run.
        showing: as for the run; the baseline's log stands beside that of the instance.
        observers: told what happens.
        proof_interval_s: as for the run.

    Raises:
        BindError: it could not be bound, and the run may not go on without.
    """
    worker = launch.workers[0]
    index = worker.instance.index
    callbacks.tell(f"baseline: instance {index} alone")
    alone = replace(launch, workers=(worker,), notes=())
    showing = replace(showing, logs={index: _beside(showing.logs[index])} if index in showing.logs else {})
    host = HostObserver(alone, topology)
    return supervise(
        alone, callbacks, os.environ, limits, showing, (host, *observers), proof_interval_s, host_cpus=host.cpus
    )


def with_baseline(run: Run, solo: Run, lost_time_allowed: float) -> tuple[Run, Baseline | None]:
    """The run with a note for each thing that disturbed its baseline, and the baseline; None where nothing counted.

    Args:
        run: of all instances.
        solo: of the one alone.
        lost_time_allowed: see `judge`.
    """
    verdict, baseline = judge(disturbance_of(solo), lost_time_allowed), baseline_of(solo)
    if baseline is None:
        tell("no efficiency: the instance that ran alone counted nothing")
    alone = f"while instance {solo.records[0].instance.index} ran alone"
    doubts = [f"{alone}, {text}" for text in (*verdict.reasons, *verdict.warnings)]
    return replace(run, notes=(*run.notes, *doubts)), baseline


def _beside(log: str) -> str:
    folder, name = os.path.split(log)
    return os.path.join(folder, f"baseline_{name}")
