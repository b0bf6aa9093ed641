"""What threads have to say to the supervisor's loop, which waits for one descriptor."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import Generic, TypeVar

Message = TypeVar("Message")


class Inbox(Generic[Message]):
    """Messages of any thread, in order; its descriptor is readable while there are any.

    It is never closed: a thread that comes too late would write into whatever has its number then.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._messages: deque[Message] = deque()
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._event

    def put(self, message: Message) -> None:
        """Add one."""
        self._messages.append(message)
        os.eventfd_write(self._event, 1)

    def take(self) -> list[Message]:
        """All that have come since the last call."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)
        return [self._messages.popleft() for _ in range(len(self._messages))]
