"""Has the sessions of ONNX Runtime stay in their slice: what `import onnxruntime` finds first under --fix-pinning.

A session that is told no number of threads makes as many as the host has cores, and pins each to its core; with any
number that it is told, it pins none. So one that is told none is told the worker's. The launcher puts the folder above
on PYTHONPATH, so that children have it too; this package then puts the real one in its own place.
"""

import functools
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    from ipexlaunch.worker import tell
except ImportError:  # another ipexlaunch lies beside the script; what is printed must do
    tell = dict  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable

_told = False


def threads_of_worker() -> int:
    """What the launcher gave its threads, or the cpus that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(given) if given.isdecimal() and int(given) else len(os.sched_getaffinity(0))


def limited(begin: "Callable[..., None]", new_options: "Callable[[], Any]") -> "Callable[..., None]":
    """What takes the place of InferenceSession.__init__: the same, with the numbers that its caller left open.

    Args:
        begin: the original; its arguments are a model, then `sess_options`.
        new_options: makes those of a session that is given none.
    """

    @functools.wraps(begin)
    def begin_limited(self: Any, *args: Any, **more: Any) -> None:
        given = args[1] if len(args) > 1 else more.get("sess_options")
        options = new_options() if given is None else given
        if not options.intra_op_num_threads:
            options.intra_op_num_threads = threads_of_worker()
            if not options.inter_op_num_threads:
                options.inter_op_num_threads = 1
            _tell(options.intra_op_num_threads)
        if len(args) > 1:
            args = (args[0], options, *args[2:])
        else:
            more["sess_options"] = options
        begin(self, *args, **more)

    return begin_limited


def _tell(threads: int) -> None:
    """Say once, to the user and into the report, what was done."""
    global _told
    if not _told:
        _told = True
        done = f"sessions of ONNX Runtime have intra_op_num_threads = {threads} where the script sets none"
        sys.stderr.write(f"ipexlaunch: --fix-pinning: {done}\n")  # whole, whoever else writes there
        tell(fix_pinning=done)


def _load() -> Any:
    """The real onnxruntime, as if this package were not there."""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    place = sys.path.index(ours)
    del sys.path[place], sys.modules[__name__]
    try:
        return import_module(__name__)
    finally:
        sys.path.insert(place, ours)  # multiprocessing hands sys.path on


_real = _load()
_real.InferenceSession.__init__ = limited(_real.InferenceSession.__init__, _real.SessionOptions)
