"""Where a run takes place: the host, the engine's job that it is a part of, what is wrong with how it was started."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from ipexlaunch import __version__
from ipexlaunch.cli.options.plan_options import this_host
from ipexlaunch.doctor.job_engine import troubles_of
from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.launch.job import Launch
from ipexlaunch.machine.topology import Topology


def on_this_host(launch: Launch, topology: Topology, *, together: bool = False) -> Launch:
    """The launch, with where it is started, and notes on what is wrong with that.

    Args:
        launch: what is about to start.
        topology: the machine.
        together: whether it begins together with other hosts.
    """
    here = replace(this_host(topology), across_hosts=together)
    return replace(launch, host=here, notes=(*launch.notes, *map(str, troubles_of(here))))


def provenance(launch: Launch, topology: Topology) -> dict[str, object]:
    """What a report says of the host and the program, beside what was measured.

    Args:
        launch: what was started.
        topology: the machine.
    """
    return {
        "ipexlaunch": __version__,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "topology": topology.fingerprint,
        "program": list(mask_words([launch.job.program, *launch.job.arguments])),
        "python": launch.job.python if launch.job.kind != "executable" else None,
        "preloaded": list(launch.job.libraries.values()),
    }
