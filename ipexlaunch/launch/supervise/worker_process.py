"""One worker's process: how it is started, what is read from it, how its group is ended."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from ipexlaunch.launch.job import Worker
from ipexlaunch.launch.placement.placement import Binding
from ipexlaunch.launch.run_record import Announced, Samples, Tally
from ipexlaunch.launch.supervise.counts_in_output import LineWatch, PrintedCounts
from ipexlaunch.launch.supervise.output_stream import Stream
from ipexlaunch.launch.supervise.take_signals import WARNING

NOT_FOUND = 127
NOT_EXECUTABLE = 126
"""Exit codes of a command that cannot be started, as a shell has them."""


@dataclass(slots=True)
class Process:
    """A process that we wait for, whoever has started it."""

    pid: int
    stdout: IO[bytes]
    stderr: IO[bytes]
    returncode: int | None = None

    def wait(self) -> int:
        """Collect it; its return code."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


@dataclass(slots=True, kw_only=True)
class WorkerProcess:
    """What the supervisor holds of one worker while it runs."""

    worker: Worker
    process: Process | None = None
    """None where it could not be started, or is to be forked and is not yet."""
    started: float = 0.0
    binding: Binding | None = None
    channel: socket.socket | None = None
    streams: dict[int, Stream] = field(default_factory=dict)
    """Descriptors of its stdout and stderr to what takes their bytes."""
    buffer: bytearray = field(default_factory=bytearray)
    unsent: bytearray = field(default_factory=bytearray)
    """What its channel has not taken yet."""
    arrived: Samples = field(default_factory=Samples)
    """Counts that were read and are not among the run's events yet."""
    told: Announced = field(default_factory=Announced)
    """Durations and facts likewise, and how much it has sent."""
    counts_itself: bool = False
    """Whether it has sent counts of its own: what its output says does not hold then."""
    tally: Tally = field(default_factory=Tally)
    printed: PrintedCounts | None = None
    """What its output counts, where a rule for that was given."""
    awaited: LineWatch | None = None
    """Waits for the line that says that it is ready, where one was named."""
    in_flight: int | None = None
    """Requests that are with it now; None where nobody knows."""
    last_line: str = ""
    """What it printed last: a whole line, or what stands after it."""
    exited: float | None = None
    """When its process was collected."""
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    group_is_gone: bool = False
    """Whether nothing of its process group was left when it ended."""
    below: dict[int, str] = field(default_factory=dict)
    """Processes that were seen below it while it had counted nothing, to their commands."""
    warned: bool = False
    """Whether a line that is no message has been complained about."""


def start(
    child: WorkerProcess,
    inherited: Mapping[str, str],
    marks: Mapping[str, str],
    slot: int,
    binding: Binding,
) -> None:
    """Start the worker's process in a session of its own; what the calling thread is held to is inherited.

    Args:
        child: gets the process and the channel.
        inherited: the launcher's environment.
        marks: variables of the run as a whole.
        slot: descriptor number that the worker finds its channel under; whatever is there is replaced.
        binding: of the calling thread, as the kernel accepted it.

    Raises:
        OSError: it cannot be started.
    """
    child.binding = binding
    ours, theirs = socket.socketpair()
    with theirs:
        environment = {**inherited, **marks, **child.worker.environment, **channel_variables(slot, theirs)}
        try:
            child.process = spawn(child.worker.argv, environment, theirs, slot)
        except OSError:
            ours.close()
            raise
    ours.setblocking(False)
    child.channel = ours


def spawn(argv: Sequence[str], environment: Mapping[str, str], theirs: socket.socket, slot: int) -> Process:
    """Start a process in a session of its own, with pipes for its output that are never waited for.

    By posix_spawn(3), which sets its signal mask: WARNING is ignored there as it is here, and blocked only here.

    Args:
        argv: its command.
        environment: all of its variables, in the order that they have in its memory.
        theirs: its end of a line to the launcher.
        slot: descriptor number that it finds that under; whatever is there is replaced.

    Raises:
        OSError: it cannot be started.
    """
    with contextlib.ExitStack() as undo, contextlib.ExitStack() as given:
        ours = []
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        for place in (1, 2):
            read, write = os.pipe()
            ours.append(undo.enter_context(os.fdopen(read, "rb", 0)))
            given.callback(os.close, write)
            os.set_blocking(read, False)
            actions.append((os.POSIX_SPAWN_DUP2, write, place))
        actions += [(os.POSIX_SPAWN_CLOSE, each) for each in _inheritable()]
        actions.append((os.POSIX_SPAWN_DUP2, theirs.fileno(), slot))
        refused: OSError | None = None
        for path in _paths_of(argv[0], environment):
            try:
                pid = os.posix_spawn(
                    path,
                    tuple(argv),
                    environment,
                    file_actions=actions,
                    setsid=True,
                    setsigmask=signal.pthread_sigmask(signal.SIG_BLOCK, ()) - {WARNING},
                    setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores them
                )
            except OSError as error:
                if refused is None or refused.errno in NOT_THERE:
                    refused = error
            else:
                undo.pop_all()
                return Process(pid, ours[0], ours[1])
        number = errno.ENOENT if refused is None or refused.errno is None else refused.errno
        raise OSError(number, os.strerror(number), argv[0])


NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


def _paths_of(program: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Where a program is looked for."""
    if "/" in program:
        yield program
    else:
        yield from (os.path.join(directory, program) for directory in os.get_exec_path(environment))


def _inheritable() -> Iterator[int]:
    """The descriptors that whoever started the launcher has left open for everybody."""
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # that of the listing
            if descriptor > 2 and os.get_inheritable(descriptor):
                yield descriptor


def channel_variables(slot: int, theirs: socket.socket) -> dict[str, str]:
    """How a worker finds its channel.

    Args:
        slot: its number in the worker.
        theirs: the worker's end.
    """
    return {"IPEXLAUNCH_STATUS_FD": str(slot), "IPEXLAUNCH_STATUS_INODE": str(os.fstat(theirs.fileno()).st_ino)}


DESCRIPTORS_PER_WORKER = 4
"""In the launcher: two pipes, the channel, a log."""

SPARE_DESCRIPTORS = 64

FileLimit = tuple[int, int]
"""Soft and hard limit of open files."""


def open_slot() -> int:
    """The number that every worker's channel gets, the lowest that is free: a POSIX shell can only redirect to the
    descriptors 0 to 9."""
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def make_room_for(workers: int) -> FileLimit | None:
    """Raise the launcher's own limit of open files where so many workers need it; the limit it had, else None."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = max(map(int, os.listdir("/proc/self/fd")), default=0)  # whoever started us may have left many open
    needed = held + workers * DESCRIPTORS_PER_WORKER + SPARE_DESCRIPTORS
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return None
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else min(needed, hard), hard))
    return soft, hard


def receive(channel: socket.socket, most: int) -> bytes | None:
    """What has come through a line to another process; None where nothing has, b"" where nothing will.

    Args:
        channel: that does not wait.
        most: bytes.
    """
    try:
        return channel.recv(most)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""


def begin_attempt(child: WorkerProcess) -> None:
    """The worker is started again: forget what belongs to the former attempt alone."""
    child.buffer.clear()
    child.unsent.clear()
    child.exited = None
    child.told.begin_attempt()
    if child.printed is not None:
        child.printed.begin_attempt()


def start_failure(error: OSError) -> int:
    """The exit code that a shell gives for this."""
    return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE


def send(child: WorkerProcess, line: bytes) -> None:
    """Send a command as far as its channel takes it now; the rest is kept for `send_more`."""
    child.unsent += line
    send_more(child)


def send_more(child: WorkerProcess) -> None:
    """Send what is kept as far as its channel takes it; a worker that is gone is noticed by its exit, not here."""
    if child.channel is None:
        child.unsent.clear()
        return
    try:
        while child.unsent:
            with memoryview(child.unsent) as rest:
                sent = child.channel.send(rest)
            del child.unsent[:sent]
    except BlockingIOError:
        pass
    except (BrokenPipeError, ConnectionResetError):
        child.unsent.clear()


def signal_group(child: WorkerProcess, number: signal.Signals) -> None:
    """Signal the worker and every process that stayed in its group."""
    if child.process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, number)


def group_is_gone(child: WorkerProcess) -> bool:
    """Whether no process of the worker's group is left."""
    if child.process is None:
        return True
    try:
        os.killpg(child.process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def close(child: WorkerProcess) -> None:
    """Close what is still open of its descriptors."""
    if child.channel is not None:
        child.channel.close()
        child.channel = None
    if child.process is not None:
        child.process.stdout.close()
        child.process.stderr.close()
