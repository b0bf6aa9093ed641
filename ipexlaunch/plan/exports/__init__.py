"""A plan in the words of other tools, for hosts where ipexlaunch itself is not to run the workers."""

from __future__ import annotations

from collections.abc import Callable

from ipexlaunch.plan.exports.containers import docker_script, kubernetes_manifest
from ipexlaunch.plan.exports.exported import ExportFile, Workload
from ipexlaunch.plan.exports.shell import numactl_script
from ipexlaunch.plan.exports.slurm import slurm_script
from ipexlaunch.plan.exports.systemd import systemd_units
from ipexlaunch.plan.plan import Plan

__all__ = ["EXPORTS", "ExportFile", "Workload", "export_plan"]

_WRITERS: dict[str, Callable[[Plan, Workload], tuple[ExportFile, ...]]] = {
    "numactl": numactl_script,
    "systemd": systemd_units,
    "slurm": slurm_script,
    "docker": docker_script,
    "kubernetes": kubernetes_manifest,
}

EXPORTS = tuple(_WRITERS)


def export_plan(kind: str, plan: Plan, work: Workload) -> tuple[ExportFile, ...]:
    """The files that make another tool start the plan's instances.

    Args:
        kind: one of EXPORTS.
        plan: the instances; only the chosen ones (--instance-idx) are written.
        work: what each runs.

    Raises:
        RequestError: this kind needs the program, or cannot give each instance what the program's words ask for.
    """
    return _WRITERS[kind](plan, work)
