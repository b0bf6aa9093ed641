"""The template of workers that share their start: one process that has done what all of them begin with, and forks one
for each request of the launcher.

A worker is forked twice, and the process between the two ends at once: so the launcher, which adopts orphans, becomes
its parent and collects it like any other. It has a session, a channel, output, cpus and variables of its own before any
code of the program goes on; its memory policy is the template's, which is inherited (set_mempolicy(2)).

Like ipexlaunch.worker it needs nothing but the standard library of Python 3.6 where there is no template.
"""

import contextlib
import ctypes
import errno
import gc
import json
import os
import signal
import socket
import sys
from typing import Any

from ipexlaunch.worker.shown_words import set_variables, show_arguments
from ipexlaunch.worker.spent import begin_in_fork, spent

MODE_VARIABLE = "IPEXLAUNCH_TEMPLATE"
"""Set in a template alone: where it forks, "imports" (when the packages are imported) or "model" (at split())."""

THREADS_VARIABLE = "IPEXLAUNCH_TEMPLATE_THREADS"
"""Most threads that a worker of it will have; it has one itself."""

ROOM_VARIABLE = "IPEXLAUNCH_ROOM"
"""The last variable of a template: room for those of its workers, which may be longer than its own."""

CANNOT_BE_FORKED = 126
"""Exit code of a worker that did not get its place."""

OPENMP_OF_INTEL = ("libiomp5", "libomp.so", "libomp-")
"""It initialises itself when it is loaded; threads of the children then hold the cpus of the template, whatever the
children are bound to (measured with 2026.2: right results on wrong cpus)."""

kept: "list[dict[str, object]]" = []
"""What the program has told before the fork, in its order: each worker tells it again as its own."""

in_worker: "list[Any]" = []
"""Called in each worker right after the fork."""


def mode() -> str:
    """Where this process forks workers; "" where it is no template."""
    return os.environ.get(MODE_VARIABLE, "")


def threads() -> int:
    """Most threads that a worker of this template will have; 0 where this is no template."""
    return int(os.environ.get(THREADS_VARIABLE, "0"))


def share_imports_alone(why: str) -> None:
    """Have workers forked where the packages are imported, though they were to share the model too.

    Args:
        why: told to the user.
    """
    if mode() == "model":
        _tell({"event": "reduced", "reason": why})
        os.environ[MODE_VARIABLE] = "imports"


def keep(message: "dict[str, object]") -> None:
    """Take what the program reports before the fork: phases are reported for all at once, the rest by each worker.

    Args:
        message: as it would go through a status channel.
    """
    if message.get("event") == "phase":
        _tell(message)
    else:
        kept.append(message)


def refuse_before_split(call: str) -> None:
    """What only a worker can do is not done before the fork.

    Args:
        call: its name.

    Raises:
        RuntimeError: this is a template.
    """
    if mode():
        raise RuntimeError(
            f"ipexlaunch.worker.{call}() was called before split(), in the process that workers come from"
        )


def serve(point: str) -> "dict[str, Any]":
    """Where this is the template's place to fork, return in each worker, and never in the template itself.

    Args:
        point: which place this is.

    Returns:
        what the launcher has asked for in a worker; nothing where this is no template, or not its place.
    """
    if mode() != point:
        return {}
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    ctypes.CDLL(None).fflush(None)  # what libraries have printed is printed once
    gc.collect()
    gc.freeze()  # a collection in a worker would write to each object, and so copy all pages
    problem = why_unsafe()
    if problem:
        refuse(problem)
    _tell({"event": "serving"})
    while True:
        data, descriptors, _, _ = socket.recv_fds(_control(), 1, 4)
        if not data:
            os._exit(0)  # nothing is to be done at its exit that a worker's would not do
        with open(descriptors.pop(0), "rb") as file:  # a message holds less than a command line
            request: dict[str, Any] = json.load(file)
        if _fork(request, descriptors, _draw()):
            return request


def refuse(problem: str) -> None:
    """Tell the launcher why no worker is to be forked here, and end: it starts each by itself. Nothing in a worker.

    Args:
        problem: why.
    """
    if mode():
        _tell({"event": "refused", "reason": problem})
        os._exit(0)


def why_unsafe() -> str:
    """Why workers forked from this process could hang, or run elsewhere than they are bound; "" where they are safe."""
    others = [name for name in os.listdir("/proc/self/task") if name != str(os.getpid())]
    if others:
        with open(f"/proc/self/task/{others[0]}/comm", encoding="utf-8", errors="replace") as file:
            name = file.read().strip()
        return f"{len(others) + 1} threads run at the fork ({name}), of which a worker would have one"
    for path in sorted(_mapped()):
        if os.path.basename(path).startswith(OPENMP_OF_INTEL):
            return f"{os.path.basename(path)} is loaded; in a worker that is forked it keeps the cpus of the template"
    if "numba" in sys.modules and "NUMBA_NUM_THREADS" not in os.environ:
        return "numba is imported, and has taken its number of threads from the cpus of all workers"
    torch = sys.modules.get("torch")
    for device in ("cuda", "xpu"):
        if torch is not None and getattr(torch, device).is_initialized():
            return f"a {device} device is initialised, which no worker that is forked can use"
    return ""


def _mapped() -> "set[str]":
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        return {line.split(None, 5)[5].strip() for line in file if ".so" in line}


_socket: "socket.socket | None" = None


def _control() -> "socket.socket":
    """The line to the launcher; it keeps its number, which is that of a worker's channel."""
    global _socket
    if _socket is None:
        _socket = socket.socket(fileno=int(os.environ["IPEXLAUNCH_STATUS_FD"]))
    return _socket


def _tell(message: "dict[str, object]") -> None:
    try:
        _control().send(json.dumps(message).encode())
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the launcher is gone


def _fork(request: "dict[str, Any]", descriptors: "list[int]", seeds: "dict[str, int]") -> bool:
    """Fork a worker; whether this is the worker.

    It has a session of its own before anybody knows its number, so that a signal for its group finds it.
    """
    before = spent() if request["answers"] else {}
    wait, tell_to_go = os.pipe()
    number, tell_number = os.pipe()
    try:
        between = os.fork()
    except OSError as error:
        for descriptor in (wait, tell_to_go, number, tell_number, *descriptors):
            os.close(descriptor)
        _tell({"event": "failed", "errno": error.errno})
        return False
    if between == 0:
        try:
            pid = os.fork()
        except OSError as error:
            os.write(tell_number, str(-(error.errno or 0)).encode())
            os._exit(0)
        if pid:
            os._exit(0)
        os.setsid()
        os.write(tell_number, str(os.getpid()).encode())
        for descriptor in (tell_to_go, number, tell_number):
            os.close(descriptor)
        if not os.read(wait, 1):  # the launcher knows of us before we can end
            os.kill(os.getpid(), signal.SIGKILL)  # it may not have heard: the template has been killed, and we with it
        os.close(wait)
        _become(request, descriptors, seeds)
        begin_in_fork(before)
        for act in in_worker:
            act()
        return True
    os.close(wait)
    os.close(tell_number)
    pid = int(os.read(number, 32) or b"0")
    os.waitpid(between, 0)
    for descriptor in (number, *descriptors):
        os.close(descriptor)
    _tell({"event": "forked", "pid": pid} if pid > 0 else {"event": "failed", "errno": -pid or errno.ECHILD})
    if pid > 0:
        with contextlib.suppress(BrokenPipeError):  # it has been killed
            os.write(tell_to_go, b"!")
    os.close(tell_to_go)
    return False


def _become(request: "dict[str, Any]", descriptors: "list[int]", seeds: "dict[str, int]") -> None:
    """Make a worker of this process, which is a copy of the template so far."""
    cpus = set(request["cpus"])
    if cpus:
        try:
            os.sched_setaffinity(0, cpus)
        except OSError as error:
            _give_up(f"cannot be bound to cpus {sorted(cpus)}: {error.strerror}", descriptors)
        if os.sched_getaffinity(0) != cpus:
            _give_up(f"is bound to cpus {sorted(os.sched_getaffinity(0))}, not {sorted(cpus)}", descriptors)
    slot = _control().detach()
    for descriptor, place in zip(descriptors, (1, 2, slot)):  # noqa: B905 - before Python 3.10
        os.dup2(descriptor, place)
        os.close(descriptor)
    set_variables(request["environment"])
    show_arguments(request["argv"])
    if request["threads"]:
        _set_threads(request["threads"])
    sys.orig_argv[:] = request["argv"]
    if "random" in seeds:
        sys.modules["random"].seed(f"{seeds['random']} {request['index']}")
    if "numpy" in seeds:
        sys.modules["numpy.random"].seed([seeds["numpy"], request["index"]])
    if "torch" in seeds:
        sys.modules["torch"].manual_seed(seeds["torch"] + request["index"])


def _give_up(problem: str, descriptors: "list[int]") -> None:
    os.write(descriptors[1], f"ipexlaunch: a worker {problem}\n".encode())
    os._exit(CANNOT_BE_FORKED)


def _set_threads(count: int) -> None:
    """Tell what has read its number of threads from the environment already."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != count:  # setting it starts threads, for NNPACK
        torch.set_num_threads(count)
    for path in _mapped():
        name = os.path.basename(path)
        if "gomp" in name:
            ctypes.CDLL(path).omp_set_num_threads(count)
        elif "openblas" in name:
            library = ctypes.CDLL(path)
            for prefix in ("", "scipy_"):
                for suffix in ("", "64_"):
                    if hasattr(library, f"{prefix}openblas_set_num_threads{suffix}"):
                        getattr(library, f"{prefix}openblas_set_num_threads{suffix}")(count)


def _draw() -> "dict[str, int]":
    """A number from each global generator, which would continue alike in all workers (Python's is reseeded at a fork).

    A worker seeds it with this and its index: workers differ, also from those that are started in their place, and what
    a program has seeded stays repeatable.
    """
    seeds = {}
    if "random" in sys.modules:
        seeds["random"] = sys.modules["random"].getrandbits(64)
    if "numpy.random" in sys.modules:
        seeds["numpy"] = int(sys.modules["numpy.random"].randint(1 << 31))
    torch = sys.modules.get("torch")
    if torch is not None:
        seeds["torch"] = int(torch.randint(1 << 62, (1,), device="cpu"))
    return seeds
