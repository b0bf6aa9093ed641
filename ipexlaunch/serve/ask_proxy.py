"""Asks a running HAProxy how its slots fare, and tells it which of them take requests, over its admin socket."""

from __future__ import annotations

import socket
import time
from typing import Literal

from ipexlaunch.errors import ProxyError
from ipexlaunch.serve.haproxy_config import BACKEND, FRONTEND, SERVER, server_id
from ipexlaunch.serve.proxy_figures import EndpointFigures, read_show_stat

PATIENCE_S = 2.0
"""How long it may take to answer; it does nothing else that takes long."""

READ_BYTES = 1 << 16

MOST_BYTES = 1 << 24
"""Of one answer; a slot takes about 500."""

NO_TABLE = "No such table"
"""What it answers where no header ties sessions to slots."""

STOPPED = "already shut down"
"""What it answers where it takes no further connection already."""


class HaproxySocket:
    """The admin socket of one HAProxy; each question is a connection of its own, so a restart of it needs no care."""

    def __init__(self, path: str, patience_s: float = PATIENCE_S) -> None:
        """Connect to nothing yet.

        Args:
            path: of the socket, as the configuration names it.
            patience_s: how long each call may take at most.
        """
        self.path = path
        self.patience_s = patience_s

    def figures(self) -> EndpointFigures:
        """What it has counted since it began.

        Raises:
            ProxyError: it cannot be asked.
            DocumentError: it keeps another configuration.
        """
        return read_show_stat(self._answer("show stat", "ask haproxy for its figures"))

    def set_state(self, index: int, state: Literal["ready", "drain", "maint"]) -> None:
        """Say what a slot may get: requests, none but those that it has, or none.

        What is in flight goes on in any state. Its own probes may still find a slot that is "ready" to be down.

        Args:
            index: of the slot.
            state: which.

        Raises:
            ProxyError: it cannot be asked, or knows no such slot.
        """
        wanted = f"tell haproxy that slot {index} is in state {state}"
        self._told(f"set server {BACKEND}/{SERVER}{index} state {state}", wanted)
        if state != "ready":
            # "drain" takes no new session, but requests of those that stick to the slot (management.txt, 9.3).
            self._told(f"clear table {BACKEND} data.server_id eq {server_id(index)}", wanted, NO_TABLE)

    def stop_softly(self) -> None:
        """Have it take no further connection; the requests in flight go on, and connections end with their answers.

        Raises:
            ProxyError: it cannot be asked.
        """
        # It may have heard before, and have answered too late.
        self._told(f"shutdown frontend {FRONTEND}", "have haproxy take no further connection", STOPPED)

    def _told(self, command: str, wanted: str, also: str = "") -> None:
        said = self._answer(command, wanted).strip()
        if said and not (also and also in said):
            raise ProxyError(
                wanted, f"it answers {said.splitlines()[0]!r}", f"{self.path} is not that of this endpoint"
            )

    def _answer(self, command: str, wanted: str) -> str:
        """Never later than the patience says, however slowly the answer trickles."""
        until = time.monotonic() + self.patience_s
        parts: list[bytes] = []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
                line.settimeout(self.patience_s)
                line.connect(self.path)
                line.sendall(f"{command}\n".encode())
                while sum(map(len, parts)) < MOST_BYTES:
                    line.settimeout(max(0.001, until - time.monotonic()))
                    part = line.recv(READ_BYTES)
                    if not part:
                        break
                    parts.append(part)
        except TimeoutError:
            problem = f"it says nothing on {self.path} for {self.patience_s:g} seconds"
            raise ProxyError(wanted, problem, "it may be stopped, or kept from its cpus") from None
        except OSError as error:
            problem = f"{self.path}: {error.strerror or error}"
            raise ProxyError(wanted, problem, "it may have ended, or not begun yet") from error
        return b"".join(parts).decode("utf-8", "replace")
