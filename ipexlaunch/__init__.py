"""ipexlaunch: NUMA-true, pinned, measured multi-instance CPU inference.

Importing this package imports nothing else: `ipexlaunch.worker` must load in the worker's interpreter, which may have
none of the launcher's dependencies.
"""

__version__ = "0.2.0.dev0"
