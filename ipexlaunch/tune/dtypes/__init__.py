"""The dtype guard: measures candidates on the planned instances, remembers what it measured, and chooses one."""

from ipexlaunch.tune.dtypes.context import Ground, make_ground
from ipexlaunch.tune.dtypes.measure import WORKER
from ipexlaunch.tune.dtypes.resolve import Resolved, decide, measure_known, resolve_candidate

__all__ = ["WORKER", "Ground", "Resolved", "decide", "make_ground", "measure_known", "resolve_candidate"]
