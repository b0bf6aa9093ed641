"""Ask every run of this user how it stands."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.run_record import Snapshot
from ipexlaunch.report.live.serve_status import directories, pid_in, socket_directory_problem
from ipexlaunch.report.live.status import RunIdentity, read_status

PATIENCE_S = 5.0
"""How long a launcher may take to answer, on a machine whose cpus are all busy; one that is stopped never does."""

READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one run said."""

    identity: RunIdentity
    snapshot: Snapshot
    same_processes: bool
    """Whether its process ids mean the same processes here; not where it runs in another pid namespace."""
    path: str = ""
    """Of its status socket."""


def ask_runs(
    environment: Mapping[str, str],
    user: int,
    *,
    note: Callable[[str], None],
    patience_s: float = PATIENCE_S,
    root: str = "/",
) -> list[Answer]:
    """How each of this user's runs on this host stands, earliest first; sockets of dead launchers are removed.

    Args:
        environment: the process's variables.
        user: numeric id.
        note: told of each run that gives no answer that can be understood.
        patience_s: how long to wait for one answer.
        root: "/"; another directory in tests.
    """
    answers: list[Answer] = []
    for directory in directories(environment, user, root):
        try:
            problem = socket_directory_problem(directory, user)
            names = [] if problem else os.listdir(directory)
        except FileNotFoundError:
            continue
        except OSError as error:
            problem, names = f"{directory}: {error.strerror}", []
        if problem:
            note(problem)
        for name in sorted(names):
            pid = pid_in(name)
            if pid is not None:
                answer = _ask(os.path.join(directory, name), pid, patience_s, note)
                answers += [] if answer is None else [answer]
    return sorted(answers, key=lambda answer: (answer.identity.started_at, answer.identity.pid))


def _ask(path: str, pid: int, patience_s: float, note: Callable[[str], None]) -> Answer | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience_s)
        data = bytearray()
        try:
            connection.connect(path)
            peer, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            while chunk := connection.recv(READ_BYTES):
                data += chunk
        except ConnectionRefusedError:
            # Its launcher is dead: a live one's socket appears under this name only when it listens.
            with contextlib.suppress(OSError):
                os.unlink(path)
            return None
        except (FileNotFoundError, ConnectionResetError):
            return None  # it ended just now
        except (TimeoutError, BlockingIOError):
            note(f"the launcher {pid} does not answer (is it stopped?)")
            return None
        except OSError as error:
            note(f"the launcher {pid} cannot be asked: {error.strerror}")
            return None
    if not data:
        return None  # it ended just now
    try:
        identity, snapshot = read_status(data.decode(errors="replace"), f"the answer of launcher {pid}")
    except DocumentError as error:
        note(str(error))
        return None
    return Answer(identity=identity, snapshot=snapshot, same_processes=peer == identity.pid, path=path)
