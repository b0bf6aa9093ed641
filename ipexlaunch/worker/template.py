"""The template of workers that share their start: one process that has done what all of them begin with, and forks one
for each request of the launcher.

A worker is forked twice, and the process between the two ends at once: so the launcher, which adopts orphans, becomes
its parent and collects it like any other. It has a session, a channel, output, cpus and variables of its own before any
code of the program goes on; its memory policy is the template's, which is inherited (set_mempolicy(2)).

What its command and its variables are is written where the kernel reads them (proc(5), /proc/PID/cmdline and environ;
arg_start to env_end in /proc/PID/stat), in the place of the template's.

Like ipexlaunch.worker it needs nothing but the standard library of Python 3.6 where there is no template.
"""

import ctypes
import gc
import json
import os
import socket
import sys
from typing import Any

MODE_VARIABLE = "IPEXLAUNCH_TEMPLATE"
"""Set in a template alone: where it forks, "imports" (when the packages are imported) or "model" (at split())."""

THREADS_VARIABLE = "IPEXLAUNCH_TEMPLATE_THREADS"
"""Most threads that a worker of it will have; it has one itself."""

ROOM_VARIABLE = "IPEXLAUNCH_ROOM"
"""The last variable of a template: room for those of its workers, which may be longer than its own."""

LONGEST_REQUEST_BYTES = 1 << 20

CANNOT_BE_FORKED = 126
"""Exit code of a worker that did not get its place."""

OPENMP_OF_INTEL = ("libiomp5", "libomp.so", "libomp-")
"""It initialises itself when it is loaded; threads of the children then hold the cpus of the template, whatever the
children are bound to (measured with 2026.2: right results on wrong cpus)."""

ENDS_OF_ARGUMENTS = (48, 49)
ENDS_OF_VARIABLES = (50, 51)
"""Fields of /proc/PID/stat, counted from 1 as proc(5) does."""

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
    """Take what the program tells before the fork: phases are everybody's at once, the rest is told by each worker.

    Args:
        message: as it would go through a status channel.
    """
    if message.get("event") == "phase":
        _tell(message)
    else:
        kept.append(message)


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
    seed = _draw()
    problem = why_unsafe()
    if problem:
        refuse(problem)
    _tell({"event": "serving"})
    while True:
        data, descriptors, _, _ = socket.recv_fds(_control(), LONGEST_REQUEST_BYTES, 3)
        if not data:
            os._exit(0)  # nothing is to be done at its exit that a worker's would not do
        request: dict[str, Any] = json.loads(data)
        if _fork(request, descriptors, seed):
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
    torch = sys.modules.get("torch")
    for device in ("cuda", "xpu"):
        if torch is not None and getattr(torch, device).is_initialized():
            return f"a {device} device is initialised, which no worker that is forked can use"
    return ""


def _mapped() -> "set[str]":
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        return {line.split(None, 5)[5].strip() for line in file if ".so" in line}


_socket: "socket.socket | None" = None


def _control() -> socket.socket:
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


def _fork(request: "dict[str, Any]", descriptors: "list[int]", seed: "int | None") -> bool:
    """Fork a worker; whether this is the worker."""
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
            pid = -(error.errno or 1)
        if pid:
            os.write(tell_number, str(pid).encode())
            os._exit(0)
        for descriptor in (tell_to_go, number, tell_number):
            os.close(descriptor)
        os.read(wait, 1)  # the launcher knows of us before we can end
        os.close(wait)
        _become(request, descriptors, seed)
        return True
    os.close(wait)
    os.close(tell_number)
    pid = int(os.read(number, 32) or b"-1")
    os.waitpid(between, 0)
    for descriptor in (number, *descriptors):
        os.close(descriptor)
    _tell({"event": "forked", "pid": pid} if pid > 0 else {"event": "failed", "errno": -pid})
    os.close(tell_to_go)
    return False


def _become(request: "dict[str, Any]", descriptors: "list[int]", seed: "int | None") -> None:
    """Make a worker of this process, which is a copy of the template so far."""
    os.setsid()
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
    _set_variables(request["environment"])
    _overwrite(ENDS_OF_ARGUMENTS, [os.fsencode(word) for word in request["argv"]], 0)
    if request["threads"]:
        _set_threads(request["threads"])
    if seed is not None:
        sys.modules["numpy"].random.seed([seed, request["index"]])
    for act in in_worker:
        act()


def _give_up(problem: str, descriptors: "list[int]") -> None:
    os.write(descriptors[1], f"ipexlaunch: a worker {problem}\n".encode())
    os._exit(CANNOT_BE_FORKED)


def _set_variables(variables: "dict[str, str | None]") -> None:
    """Set or remove these; where the first of them stands, what a template has otherwise than its workers begins."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value  # the C library's own copy: nothing refers to the template's any more
    names = {os.fsencode(name) for name in variables}
    begin, end = _ends(ENDS_OF_VARIABLES)
    at = 0
    for entry in ctypes.string_at(begin, end - begin).split(b"\0"):
        if entry.partition(b"=")[0] in names:
            break
        at += len(entry) + 1
    _overwrite(ENDS_OF_VARIABLES, [os.fsencode(f"{n}={v}") for n, v in variables.items() if v is not None], at)


def _overwrite(fields: "tuple[int, int]", words: "list[bytes]", at: int) -> None:
    """Put words in the place of those that the process was started with, from there on; what does not fit is cut."""
    begin, end = _ends(fields)
    room = end - begin - at
    if room > 0:
        text = b"".join(word + b"\0" for word in words)[: room - 1]
        ctypes.memmove(begin + at, text + b"\0" * (room - len(text)), room)


def _ends(fields: "tuple[int, int]") -> "tuple[int, int]":
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        values = file.read().rpartition(")")[2].split()  # from field 3 on; the name before may hold anything
    return int(values[fields[0] - 3]), int(values[fields[1] - 3])


def _set_threads(count: int) -> None:
    """Tell what has read its number of threads from the environment already."""
    torch = sys.modules.get("torch")
    if torch is not None:
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


def _draw() -> "int | None":
    """A number from numpy's global generator, which would go on alike in all workers; None where there is no numpy.

    Each worker seeds it with this and its index: workers differ, and what a program has seeded stays repeatable.
    Python's own is seeded anew at a fork, torch's begins alike in every process anyway.
    """
    numpy = sys.modules.get("numpy")
    return None if numpy is None else int(numpy.random.randint(1 << 31))
