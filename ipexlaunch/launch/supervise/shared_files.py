"""Empty files in memory, so that the workers of the same memory nodes can have one copy of what each would load."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import replace

from ipexlaunch.launch.job import Launch
from ipexlaunch.machine.cpulist import Ids

SHARED_FILES = "IPEXLAUNCH_SHARED_FILES"
"""Environment variable: the files' name and, after a colon, their paths; worker/shared_weights.py reads it."""

FILES = 4
"""For each set of nodes: so many models can be shared."""

FIRST_DESCRIPTOR = 10
"""The ones below are those that a shell can redirect to: the workers' channels need one."""


@contextlib.contextmanager
def shared_files(launch: Launch) -> Iterator[Launch]:
    """The launch with files in memory that its workers are told of, a few for each set of nodes.

    They have no name in any file system, so nothing is left of them when the launcher and its workers have ended, in
    whatever way. Where the kernel gives none, workers load what they need themselves.

    Args:
        launch: what is going to be started.
    """
    name = f"ipexlaunch-{os.urandom(8).hex()}"
    opened: dict[Ids, list[int]] = {}
    try:
        with contextlib.suppress(OSError):  # old kernels, or no descriptor is left
            for nodes in {worker.instance.nodes for worker in launch.workers}:
                opened[nodes] = []
                for _ in range(FILES):
                    opened[nodes].append(_file_in_memory(name))
        told = {
            nodes: f"{name}:{','.join(f'/proc/{os.getpid()}/fd/{descriptor}' for descriptor in descriptors)}"
            for nodes, descriptors in opened.items()
        }
        yield replace(
            launch,
            workers=tuple(
                replace(worker, environment={SHARED_FILES: told.get(worker.instance.nodes, ""), **worker.environment})
                for worker in launch.workers
            ),
        )
    finally:
        for descriptors in opened.values():
            for descriptor in descriptors:
                os.close(descriptor)


def _file_in_memory(name: str) -> int:
    low = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        return fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
    finally:
        os.close(low)
