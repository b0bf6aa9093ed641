"""Start, watch and stop the workers of a launch: the only package that starts processes or handles signals."""

from ipexlaunch.supervise.loop import supervise
from ipexlaunch.supervise.means import LONG_PHASE_S, Means, Showing
from ipexlaunch.supervise.wakeup import signals_put_off

__all__ = ["LONG_PHASE_S", "Means", "Showing", "signals_put_off", "supervise"]
