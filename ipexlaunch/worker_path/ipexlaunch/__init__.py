"""Makes `import ipexlaunch.worker` work in a worker's interpreter that does not have ipexlaunch installed.

The launcher adds the folder above to PYTHONPATH. It holds nothing but this package, so nothing else of the launcher's
environment can leak into the worker's.
"""

import os
import sys

if sys.version_info < (3, 6):  # noqa: UP036 - in a worker's interpreter, which may be any
    raise ImportError("ipexlaunch.worker needs Python 3.6 or later; this is {}.{}".format(*sys.version_info))

__path__ = [os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))]
