"""One connection to another host: lines that come and go without anybody waiting for them."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Callable

from ipexlaunch.hosts.messages import LONGEST_LINE, LONGEST_UNPROVEN, Message, line_of, lines_in

READ_BYTES = 1 << 16

MOST_UNSENT = 1 << 20
"""Bytes that wait to be sent to somebody who takes nothing; more are not kept."""


class LinePeer:
    """Whoever is at the other end of a connection."""

    def __init__(
        self, connection: socket.socket, selector: selectors.BaseSelector, serve: Callable[[LinePeer], None]
    ) -> None:
        """Take over a connection, which may still be on its way.

        Args:
            connection: it will not block from now on.
            selector: waits for it; the data of its keys are functions without arguments.
            serve: called when something may have come.
        """
        connection.setblocking(False)
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.proven = False
        """Whether it has the token."""
        self.heard = time.monotonic()
        """When something came last."""
        self.is_silent = True
        """Whether nothing has ever come."""
        self.ended = ""
        """Why nothing comes any more; "" while something may."""
        self._connection = connection
        self._selector = selector
        self.serve: Callable[[], None] = lambda: serve(self)
        """Called when something may have come."""
        self._coming, self._going = bytearray(), bytearray()
        selector.register(connection, selectors.EVENT_READ, self._ready)

    def send(self, message: Message) -> None:
        """Have something said; nobody waits until it is."""
        if len(self._going) < MOST_UNSENT:
            self._going += line_of(message)
        self._send_more()

    def take(self) -> list[Message]:
        """What has come since the last call; see `ended` afterwards."""
        try:
            data = self._connection.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            data = b""  # closed there while something of ours was not read yet
        except OSError as error:
            self.ended = f"its connection failed ({error.strerror})"
            return []
        if not data:
            self.ended = "its connection was closed"
            return []
        self.heard, self.is_silent = time.monotonic(), False
        self._coming += data
        try:
            return lines_in(self._coming, LONGEST_LINE if self.proven else LONGEST_UNPROVEN)
        except ValueError:
            self.ended = "it said something that is not understood"
            return []

    def close(self) -> None:
        """Say no more, and hear no more; a second call does nothing."""
        if self._connection.fileno() >= 0:
            self._selector.unregister(self._connection)
            self._connection.close()

    def address(self) -> str:
        """Where the other end is, as far as that is known."""
        with contextlib.suppress(OSError):
            return str(self._connection.getpeername()[0]).removeprefix("::ffff:")
        return "somewhere"

    def _ready(self) -> None:
        if self._connection.fileno() >= 0:  # not closed earlier in the same round
            self._send_more()
            self.serve()

    def _send_more(self) -> None:
        if self._connection.fileno() < 0:
            return
        if self._going:
            try:
                del self._going[: self._connection.send(self._going)]
            except BlockingIOError:
                pass
            except OSError:  # what is to be known of that comes by `take`
                self._going.clear()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._going else 0)
        if self._selector.get_key(self._connection).events != events:
            self._selector.modify(self._connection, events, self._ready)
