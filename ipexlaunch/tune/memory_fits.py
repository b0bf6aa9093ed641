"""Whether a setting can run: by the memory of the nodes, and by what failed before."""

from __future__ import annotations

from collections.abc import Sequence

from ipexlaunch.machine.topology import Topology
from ipexlaunch.tune.space import Setting, Space
from ipexlaunch.tune.trial import Tried

OWN_SHARE = 0.8
"""Of a worker's peak resident memory: as much at least is its own, the rest are pages of files that all share."""


def fits(space: Space, topology: Topology, setting: Setting, history: Sequence[Tried]) -> bool:
    """Whether nothing speaks against it: neither memory nor the failure of a setting that asks for less.

    A worker of the same numbers and a batch of at most this size needs no more memory than one of this setting, so the
    least that such a worker was seen to need, times the instances of each node, would be needed at least. And where
    the same instances failed with the same numbers and a smaller batch, or took too long for a call, a larger one does
    not mend it.

    Args:
        space: for the plan of the setting.
        topology: for the memory of each node; a node of unknown size (0) refuses nothing.
        setting: what is to be tried.
        history: what was seen.
    """
    smaller = [
        run
        for run in history
        if run.setting.numbers == setting.numbers and run.setting.batch_size <= setting.batch_size
    ]
    instances = (setting.split, setting.smt)
    if any((run.setting.split, run.setting.smt) == instances and not run.counts for run in smaller):
        return False
    least = min((run.peak_bytes for run in smaller if run.counts and run.peak_bytes), default=0)
    if not least:
        return True
    sizes = {node.id: node.memory_bytes for node in topology.nodes}
    return all(
        not sizes.get(node) or load * OWN_SHARE * least <= sizes[node] for node, load in space.load_of(setting).items()
    )


def running_settings(space: Space, topology: Topology, history: Sequence[Tried]) -> float:
    """How many settings of the space can run, as far as that is known.

    Args:
        space: what may be tried.
        topology: for the memory of each node.
        history: what was seen.
    """
    groups = [
        space.setting(split, batch_size=batch_size, numbers=numbers)
        for split in space.splits
        for batch_size in space.batch_sizes
        for numbers in space.numbers
    ]
    running = sum(fits(space, topology, setting, history) for setting in groups)
    return len(space) * running / len(groups)
