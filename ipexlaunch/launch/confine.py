"""Give each worker a cgroup of its own with the cpus and nodes of its instance, so that nothing in it can leave them.

cpuset is a threaded controller of cgroup v2: below the launcher's own cgroup stands one for the run, and below that one
for each instance, all of type "threaded", so that memory and every other account stay where they were. The launcher
never moves: a thread of it enters the instance's cgroup, starts the worker, and ends. What a thread starts begins in
the thread's cgroup, so the worker is confined from its first instruction, with no code of ours in it.

Source: Documentation/admin-guide/cgroup-v2.rst (Threads, Delegation, Cpuset) and kernel/cgroup/cpuset.c of the Linux
kernel. Its cpuset_attach moves the pages of a process only with the first of its threads: ours stay where they are.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from ipexlaunch.errors import BindError, TopologyError
from ipexlaunch.launch.placement.placement import Binding
from ipexlaunch.machine.cpulist import format_list, parse_list
from ipexlaunch.machine.probe.cgroups import own_cgroups
from ipexlaunch.machine.probe.tree import DirectoryFiles, Tree
from ipexlaunch.machine.proc_files import text_of
from ipexlaunch.plan.plan import Instance

BindThread = Callable[[frozenset[int], str, frozenset[int]], AbstractContextManager[Binding]]

NAME = "ipexlaunch-"
"""The cgroups of runs begin so; the process id and a random number follow."""

HOLDING = ("bind", "interleave", "weighted-interleave")
"""Memory policies that keep to their nodes; the others may go elsewhere where those are full, and go on to."""

ATTEMPTS = 3
"""Another launcher that removes what dead ones have left may come in between."""

END_S = 2.0
"""A cgroup may be busy for a moment after the last process in it has ended."""

WANTED = "confine workers by cgroups"
HINT = "start it in a cgroup that is delegated with its cpuset, or leave out --confine"


class Confinement:
    """The cgroups of one run."""

    def __init__(self, path: str, hold: int, control: str, *, strict: bool) -> None:
        """Take over the run's cgroup.

        Args:
            path: its directory.
            hold: descriptor of the directory, locked as long as this launcher lives.
            control: the cgroup.subtree_control of the launcher's own cgroup, where cpuset was added there; "" else.
            strict: a worker that cannot be confined is an error.
        """
        self.path = path
        self.control = control
        self._hold = hold
        self._strict = strict
        self._cpus: dict[int, frozenset[int]] = {}

    def start(self, instance: Instance, bind_thread: BindThread, start: Callable[[Binding], None]) -> None:
        """Start a worker from a thread that is in the instance's cgroup, and bound there.

        Args:
            instance: its index, cpus, nodes and memory policy.
            bind_thread: binds the calling thread.
            start: starts the worker.

        Raises:
            BindError: the thread cannot be bound, or not confined and the run may not go on without.
            OSError: the worker cannot be started.
        """
        failed: list[BaseException] = []

        def start_there() -> None:
            try:
                unconfined = self._enter(instance)
                cgroup = "" if unconfined else f"{self.path}/{instance.index}"
                with bind_thread(instance.cpus, instance.memory, instance.nodes) as binding:
                    start(replace(binding, cgroup=cgroup, unconfined=unconfined))
            except BaseException as error:  # raised again where the worker was wanted
                failed.append(error)

        thread = threading.Thread(target=start_there, name="ipexlaunch-start")
        try:
            thread.start()
        except RuntimeError:  # no thread more is allowed: no process either
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        thread.join()
        for error in failed:
            raise error

    def _enter(self, instance: Instance) -> str:
        """Move the calling thread into the instance's cgroup, which is made where it is not there; or why not."""
        place = f"{self.path}/{instance.index}"
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(place)
                write(f"{place}/cgroup.type", "threaded")
                if instance.cpus:
                    write(f"{place}/cpuset.cpus", format_list(instance.cpus))
                    self._cpus[instance.index] = instance.cpus
                if instance.nodes and instance.memory in HOLDING:
                    write(f"{place}/cpuset.mems", format_list(instance.nodes))
            write(f"{place}/cgroup.threads", "0")
        except OSError as error:
            if self._strict:
                raise BindError(f"confine instance {instance.index}", _words(error), HINT) from None
            return _words(error)
        return ""

    def changes(self) -> list[str]:
        """What another process has changed of the cgroups while the workers ran, one line for each instance."""
        found = []
        for index, cpus in self._cpus.items():
            now = (text_of(f"{self.path}/{index}/cpuset.cpus.effective") or "").strip()
            if now and parse_list(now) != cpus:
                was = format_list(cpus)
                found.append(f"instance {index}: somebody changed its cgroup from cpus {was} to {now} while it ran")
        return found

    def close(self) -> None:
        """Remove the cgroups, as far as no process is in them; a second call does nothing."""
        deadline = time.monotonic() + END_S
        while self._hold >= 0 and not remove(self.path) and time.monotonic() < deadline:
            time.sleep(0.01)
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1
            _undo(self.control)


def open_confinement(wanted: str, root: str = "/") -> tuple[Confinement | None, str]:
    """The cgroup of a run, below the launcher's own; None, and why not, where that cannot be.

    Args:
        wanted: "auto", to go on without where it must be; "yes".
        root: holds proc/ and sys/.

    Raises:
        BindError: it cannot be, and "yes" was said.
    """
    try:
        return _open(root, strict=wanted == "yes"), ""
    except TopologyError as error:
        refused = f"{error.path}: {error.problem}"
    except OSError as error:
        refused = _words(error)
    if wanted == "yes":
        raise BindError(WANTED, refused, HINT)
    return None, f"workers are bound, but not confined by cgroups: {refused}"


def _open(root: str, *, strict: bool) -> Confinement:
    own = own_cpuset_cgroup(root)
    control = f"{own}/cgroup.subtree_control"
    for name in os.listdir(own):
        if name.startswith(NAME):
            _remove_dead(f"{own}/{name}")
    was_on = "cpuset" in (text_of(control) or "").split()
    write(control, "+cpuset")
    trouble: OSError | None = None
    for _ in range(ATTEMPTS):
        path = f"{own}/{NAME}{os.getpid()}-{os.urandom(4).hex()}"
        try:
            os.mkdir(path)
            hold = _hold(path)
            write(f"{path}/cgroup.type", "threaded")
            write(f"{path}/cgroup.subtree_control", "+cpuset")
            return Confinement(path, hold, "" if was_on else control, strict=strict)
        except OSError as error:
            trouble = error
            remove(path)
    _undo("" if was_on else control)
    raise trouble or OSError(errno.EBUSY, os.strerror(errno.EBUSY), own)


def own_cpuset_cgroup(root: str = "/") -> str:
    """The directory of this process's cgroup, which has the cpuset controller.

    Args:
        root: holds proc/ and sys/.

    Raises:
        OSError: there is none, it is not visible here, or its cpuset is not delegated to it.
        TopologyError: a file that says so cannot be understood.
    """
    groups = own_cgroups(Tree(DirectoryFiles(root)))
    own = next((f"{root.rstrip('/')}/{group.levels[0]}" for group in groups if group.unified), "")
    if not own:
        raise OSError(errno.ENOENT, "cgroup v2 is not mounted", "")
    if str(threading.get_native_id()) not in (text_of(f"{own}/cgroup.threads") or "").split():
        raise OSError(errno.ENOENT, "the cgroup of this process is not visible here", own)
    controllers = (text_of(f"{own}/cgroup.controllers") or "").split()
    if "cpuset" not in controllers:
        old = any("cpuset" in group.controllers for group in groups)
        why = "is with cgroup v1 here" if old else f"is not delegated (it has {' '.join(controllers) or 'none'})"
        raise OSError(errno.ENOENT, f"its cpuset controller {why}", own)
    return own


def _hold(path: str) -> int:
    """Lock a cgroup's directory until the descriptor is closed, or its process ends."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_dead(path: str) -> None:
    """Remove the cgroup of a run whose launcher was killed, unless processes are in it or it is another user's."""
    with contextlib.suppress(OSError):
        hold = _hold(path)
        remove(path)
        os.close(hold)


def _undo(control: str) -> None:
    """Take cpuset away from the cgroups below the launcher's own, unless there are some by now: those of others."""
    if control:
        with contextlib.suppress(OSError), os.scandir(os.path.dirname(control)) as entries:
            if not any(entry.is_dir() for entry in entries):
                write(control, "-cpuset")


def remove(path: str) -> bool:
    """Remove a cgroup with those below it; whether it is gone."""
    try:
        for folder, _, _ in os.walk(path, topdown=False):
            os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def write(path: str, text: str) -> None:
    """Write to a file of the kernel, in one go.

    Raises:
        OSError: the kernel refuses it; with the path.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"{text} is refused: {error.strerror}", path) from None
    finally:
        os.close(descriptor)


def _words(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
