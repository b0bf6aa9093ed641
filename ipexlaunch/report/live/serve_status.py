"""A run tells how it stands to whoever of the same user asks: a line for each connection to its Unix socket."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import socket
import stat
from collections.abc import Callable, Iterator, Mapping

from ipexlaunch.launch.run_record import Snapshot
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.report.live.status import RunIdentity, write_status

SUFFIX = ".sock"
LONGEST_PATH = 107
"""Bytes of a socket's path without its end (unix(7), sun_path)."""


def directories(environment: Mapping[str, str], user: int, root: str = "/") -> list[str]:
    """The directories that a run may listen in, best first.

    A run inside a batch job has no XDG_RUNTIME_DIR where the same user's login session has one, so who looks for runs
    looks in all.

    Args:
        environment: the process's variables.
        user: numeric id.
        root: "/"; another directory in tests.

    Source: XDG Base Directory Specification 0.8 for XDG_RUNTIME_DIR.
    """
    bases = [environment.get("XDG_RUNTIME_DIR", ""), os.path.join(root, f"run/user/{user}")]
    found = [os.path.join(base, "ipexlaunch") for base in bases if os.path.isabs(base)]
    found.append(os.path.join(root, f"tmp/ipexlaunch-{user}"))
    return list(dict.fromkeys(found))


def socket_directory_problem(directory: str, user: int) -> str:
    """Why sockets in this directory are not to be trusted; empty where they are: /tmp is everybody's.

    Raises:
        OSError: it cannot be looked at.
    """
    state = os.lstat(directory)
    if not stat.S_ISDIR(state.st_mode):
        return f"{directory} is not a directory"
    if state.st_uid != user:
        return f"{directory} belongs to user {state.st_uid}"
    if state.st_mode & 0o077:
        return f"{directory} is open to others (mode {stat.S_IMODE(state.st_mode):o}, 700 wanted)"
    return ""


def name_of(pid: int) -> str:
    """A file name for a launcher's socket; two containers may share the directory and the process id."""
    return f"{pid}-{os.urandom(3).hex()}{SUFFIX}"


def pid_in(name: str) -> int | None:
    """The process id in a socket's name; None for other files."""
    pid = name.partition("-")[0]
    return int(pid) if name.endswith(SUFFIX) and pid.isdecimal() else None


def made_directory(directory: str, user: int) -> str:
    """Why sockets cannot stand in this directory, which is made where there is none; empty where they can.

    Raises:
        OSError: it cannot be made or looked at.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    return socket_directory_problem(directory, user)


def listen_at(path: str) -> socket.socket:
    """A Unix socket that listens there, for its user alone, and is never waited for.

    Raises:
        OSError: that is not possible; nothing is left of it.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen()
    except OSError:
        listener.close()
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    return listener


MOST_WAITING = 16
"""Connections that may be half answered, or have not said all; with one more the oldest is dropped."""


class Callers:
    """Whoever has connected to a listening socket, each with bytes that wait.

    An epoll instance stands for the listening socket and the connections, so the supervisor's loop waits for one
    descriptor and is never held up by who asks.
    """

    def __init__(self, listener: socket.socket, events: int) -> None:
        """Begin with nobody.

        Args:
            listener: closed with it.
            events: of select.epoll, what is waited for on connections.
        """
        self._listener, self._events = listener, events
        self._waiting: dict[int, tuple[socket.socket, bytes | None]] = {}
        self._epoll = select.epoll()
        self._epoll.register(listener.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        """What to wait for."""
        return self._epoll.fileno()

    def ready(self) -> Iterator[tuple[socket.socket, bytes | None]]:
        """Each connection that is new, with None, or that something has happened to, with its bytes."""
        for descriptor, _ in self._epoll.poll(0):
            if descriptor == self._listener.fileno():
                descriptor = self._accept()
            if descriptor in self._waiting:
                yield self._waiting[descriptor]

    def keep(self, connection: socket.socket, waiting: bytes) -> None:
        """Its bytes wait from now on."""
        self._waiting[connection.fileno()] = connection, waiting

    def drop(self, connection: socket.socket) -> None:
        """Close a connection."""
        del self._waiting[connection.fileno()]
        self._epoll.unregister(connection.fileno())
        connection.close()

    def close(self) -> None:
        """Close all of them, and listen no more."""
        for connection, _ in list(self._waiting.values()):
            self.drop(connection)
        self._listener.close()
        self._epoll.close()

    def _accept(self) -> int:
        """The descriptor of a new connection; -1 where it was gone again before it was accepted."""
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return -1
        connection.setblocking(False)
        if len(self._waiting) >= MOST_WAITING:
            self.drop(next(iter(self._waiting.values()))[0])
        self._waiting[connection.fileno()] = connection, None
        self._epoll.register(connection.fileno(), self._events)
        return connection.fileno()


class StatusSocket(Observer):
    """The socket of one run, as something that the supervisor's loop waits for."""

    def __init__(
        self,
        identity: RunIdentity,
        environment: Mapping[str, str],
        user: int,
        *,
        note: Callable[[str], None],
        root: str = "/",
    ) -> None:
        """Listen; where that is not possible, say so and go on without.

        Args:
            identity: which run it is.
            environment: the launcher's variables.
            user: numeric id of the launcher's user.
            note: told why it does not listen.
            root: "/"; another directory in tests.
        """
        self._identity = identity
        self._callers: Callers | None = None
        self.path = ""
        problems: list[str] = []
        for directory in directories(environment, user, root):
            try:
                self._listen(directory, user)
            except OSError as error:
                problems.append(error.strerror or str(error))
                continue
            return
        note(f"`ipexlaunch top` will not see this run: {problems[-1]}")

    def _listen(self, directory: str, user: int) -> None:
        """Listen in this directory.

        Raises:
            OSError: that is not possible there.
        """
        problem = made_directory(directory, user)
        path = os.path.join(directory, name_of(self._identity.pid))
        if not problem and len(os.fsencode(path)) > LONGEST_PATH:
            problem = f"the path {path} is too long for a socket"
        if problem:
            raise OSError(0, problem)
        fresh = path.removesuffix(SUFFIX) + ".new"
        try:
            # Under a name that nobody looks for until it answers: a socket that refuses belongs to a dead launcher.
            listener = listen_at(fresh)
        except OSError as error:
            raise OSError(error.errno, f"{directory}: {error.strerror}") from error
        try:
            os.rename(fresh, path)
            self._callers = Callers(listener, select.EPOLLOUT)
        except OSError as error:
            listener.close()
            for name in (fresh, path):
                with contextlib.suppress(OSError):
                    os.unlink(name)
            raise OSError(error.errno, f"{directory}: {error.strerror}") from error
        self.path = path
        atexit.register(self.close)  # whatever stands in the way of the run: a socket that is left looks like one

    def fileno(self) -> int | None:
        """What to wait for; None where it does not listen."""
        return self._callers.fileno() if self._callers is not None else None

    def ready(self, now: Callable[[], Snapshot]) -> None:
        """Answer who asks, as far as they take it.

        Args:
            now: how the run stands.
        """
        if self._callers is None:
            return
        for connection, rest in self._callers.ready():
            if rest is None:
                rest = write_status(self._identity, now()).encode()
            try:
                sent = connection.send(rest, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                sent = 0
            except OSError:
                sent = len(rest)  # it does not listen any more
            if sent == len(rest):
                self._callers.drop(connection)
            else:
                self._callers.keep(connection, rest[sent:])

    def close(self) -> None:
        """Stop listening and remove the socket; a second call does nothing."""
        atexit.unregister(self.close)
        if self._callers is not None:
            with contextlib.suppress(OSError):  # somebody cleaned up /tmp
                os.unlink(self.path)
            self._callers.close()
            self._callers = None
