"""Start, watch and stop the workers of a launch: the only package that starts processes or handles signals."""

from ipexlaunch.launch.supervise.interfaces import LONG_PHASE_S, OutputOptions, SupervisorCallbacks
from ipexlaunch.launch.supervise.loop import supervise
from ipexlaunch.launch.supervise.take_signals import signals_deferred

__all__ = [
    "LONG_PHASE_S",
    "OutputOptions",
    "SupervisorCallbacks",
    "signals_deferred",
    "supervise",
]
