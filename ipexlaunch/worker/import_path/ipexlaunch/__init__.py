"""Makes `import ipexlaunch` in a worker the launcher's own ipexlaunch, whatever the worker's interpreter has installed.

The launcher puts the folder above first on PYTHONPATH. It holds nothing but this package, so nothing else of the
launcher's environment can leak into the worker's; and this package puts the real one in its own place, so that whoever
imports it has the same module as the launcher, with everything in it.
"""

import os
import sys

if sys.version_info < (3, 6):  # noqa: UP036 - in a worker's interpreter, which may be any
    raise ImportError("ipexlaunch.worker needs Python 3.6 or later; this is {}.{}".format(*sys.version_info))

from importlib.machinery import PathFinder
from importlib.util import module_from_spec

_package = os.path.abspath(__file__)
for _ in ("__init__.py", "ipexlaunch", "import_path", "worker"):
    _package = os.path.dirname(_package)
_spec = PathFinder.find_spec(__name__, [os.path.dirname(_package)])
if _spec is None or _spec.loader is None:
    raise ImportError("there is no ipexlaunch in {} any more".format(_package), name=__name__)  # noqa: UP032 - as above
_module = module_from_spec(_spec)
sys.modules[__name__] = _module
_spec.loader.exec_module(_module)
