"""A run tells how it stands to whoever of the same user asks: a line for each connection to its Unix socket."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import socket
import stat
from collections.abc import Callable, Mapping

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


MOST_WAITING = 16
"""Connections that may be half answered; with one more the oldest is dropped."""


class StatusSocket(Observer):
    """The socket of one run, as something that the supervisor's loop waits for.

    An epoll instance stands for the listening socket and the connections that do not take their answer at once, so the
    loop waits for one descriptor and is never held up by who asks.
    """

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
        self._answers: dict[int, tuple[socket.socket, bytes]] = {}
        self._epoll: select.epoll | None = None
        self._listener: socket.socket | None = None
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
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        problem = socket_directory_problem(directory, user)
        path = os.path.join(directory, name_of(self._identity.pid))
        if not problem and len(os.fsencode(path)) > LONGEST_PATH:
            problem = f"the path {path} is too long for a socket"
        if problem:
            raise OSError(0, problem)
        fresh = path.removesuffix(SUFFIX) + ".new"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            # Under a name that nobody looks for until it answers: a socket that refuses belongs to a dead launcher.
            listener.bind(fresh)
            os.chmod(fresh, 0o600)
            listener.listen()
            os.rename(fresh, path)
            self._epoll = select.epoll()
            self._epoll.register(listener.fileno(), select.EPOLLIN)
        except OSError as error:
            listener.close()
            for name in (fresh, path):
                with contextlib.suppress(OSError):
                    os.unlink(name)
            raise OSError(error.errno, f"{directory}: {error.strerror}") from error
        self._listener = listener
        self.path = path
        atexit.register(self.close)  # whatever stands in the way of the run: a socket that is left looks like one

    def fileno(self) -> int | None:
        """What to wait for; None where it does not listen."""
        return self._epoll.fileno() if self._epoll is not None else None

    def ready(self, now: Callable[[], Snapshot]) -> None:
        """Answer who asks, as far as they take it.

        Args:
            now: how the run stands.
        """
        if self._epoll is None or self._listener is None:
            return
        for descriptor, _ in self._epoll.poll(0):
            if descriptor == self._listener.fileno():
                self._accept(now)
            elif descriptor in self._answers:
                self._send(descriptor)

    def close(self) -> None:
        """Stop listening and remove the socket; a second call does nothing."""
        atexit.unregister(self.close)
        for descriptor in list(self._answers):
            self._drop(descriptor)
        if self._listener is not None:
            with contextlib.suppress(OSError):  # somebody cleaned up /tmp
                os.unlink(self.path)
            self._listener.close()
            self._listener = None
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None

    def _accept(self, now: Callable[[], Snapshot]) -> None:
        if self._listener is None or self._epoll is None:
            return
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # gone again before it was accepted
        connection.setblocking(False)
        if len(self._answers) >= MOST_WAITING:
            self._drop(next(iter(self._answers)))
        self._answers[connection.fileno()] = connection, write_status(self._identity, now()).encode()
        self._epoll.register(connection.fileno(), select.EPOLLOUT)
        self._send(connection.fileno())

    def _send(self, descriptor: int) -> None:
        connection, rest = self._answers[descriptor]
        try:
            sent = connection.send(rest, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return
        except OSError:
            sent = len(rest)  # it does not listen any more
        if sent == len(rest):
            self._drop(descriptor)
        else:
            self._answers[descriptor] = connection, rest[sent:]

    def _drop(self, descriptor: int) -> None:
        connection, _ = self._answers.pop(descriptor)
        if self._epoll is not None:
            self._epoll.unregister(descriptor)
        connection.close()
