"""The dtype guard: measures candidates on the planned instances, remembers what it measured, and chooses one."""

from ipexlaunch.tune.dtypes.context import MeasureContext, make_measure_context
from ipexlaunch.tune.dtypes.measure import WORKER
from ipexlaunch.tune.dtypes.resolve import Resolved, decide, expected_of, fill_in_measurements, resolve_candidate

__all__ = [
    "WORKER",
    "MeasureContext",
    "Resolved",
    "decide",
    "expected_of",
    "fill_in_measurements",
    "make_measure_context",
    "resolve_candidate",
]
