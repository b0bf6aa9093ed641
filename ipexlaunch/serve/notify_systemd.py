"""Tells systemd how the servers stand: ready, reloading, stopping, still alive, and a line for `systemctl status`."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping

from ipexlaunch.launch.run_events import RunEnded, RunEvent, RunSignalled, WorkerExited, WorkerReady, WorkerStarted
from ipexlaunch.launch.run_record import Snapshot
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.machine.wording import counted

SOCKET = "NOTIFY_SOCKET"
SERVICE_VARIABLES = frozenset(
    {SOCKET, "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"}
)
"""What systemd says to the process that it starts, and to no other.

Source: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3) of systemd 257.
"""

PATIENCE_S = 0.5
"""So long a notification waits for room in the socket's queue."""


def without_service_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for servers: one that speaks to systemd itself would be taken for the launcher, or refused.

    Args:
        environment: the launcher's.
    """
    return {name: value for name, value in environment.items() if name not in SERVICE_VARIABLES}


def watchdog_interval_s(environment: Mapping[str, str], pid: int) -> float | None:
    """How often systemd wants to hear that the launcher is alive: half the time after which it ends it; None for never.

    Args:
        environment: the launcher's.
        pid: the launcher's.
    """
    text = environment.get("WATCHDOG_USEC", "")
    owner = environment.get("WATCHDOG_PID", str(pid))
    if not text.isascii() or not text.isdecimal() or int(text) == 0 or owner != str(pid):
        return None
    return int(text) / 2e6


class SystemdNotifier(Observer):
    """Speaks to the socket that systemd names; where there is none, nothing is said.

    READY=1 is sent once every slot has been ready, and the endpoint where there is one; a server that is restarted
    later changes the status line alone. A socket that is gone is said once, and tried again each time.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        slots: int,
        *,
        has_endpoint: bool,
        tell: Callable[[str], None],
        pid: int | None = None,
    ) -> None:
        """Say nothing yet.

        Args:
            environment: the launcher's.
            slots: how many servers there are.
            has_endpoint: whether READY waits for `endpoint_ready` too.
            tell: hears once that the socket takes nothing.
            pid: the launcher's; None for this process.
        """
        self._address = _address(environment.get(SOCKET, ""))
        self.interval_s = (
            watchdog_interval_s(environment, os.getpid() if pid is None else pid) if self._address else None
        )
        self._slots = slots
        self._tell = tell
        self._waits_for_endpoint = has_endpoint
        self._ready: set[int] = set()
        self._has_been_ready: set[int] = set()
        self._is_announced = False
        self._is_reloading = False
        self._is_stopping = False
        self._status = ""
        self._is_told = False
        # The endpoint and a reload are told by other threads than the supervisor's.
        self._lock = threading.Lock()

    def on_event(self, event: RunEvent) -> None:
        """A server is ready, or is not any more, or the run is to end."""
        with self._lock:
            if isinstance(event, WorkerReady):
                self._ready.add(event.index)
                self._has_been_ready.add(event.index)
            elif isinstance(event, WorkerExited | WorkerStarted):
                index = event.planned.index if isinstance(event, WorkerStarted) else event.index
                self._ready.discard(index)
            elif isinstance(event, RunSignalled | RunEnded):
                self._stop()
                return
            else:
                return
            self._say_state()

    def endpoint_ready(self) -> None:
        """The endpoint takes requests."""
        with self._lock:
            self._waits_for_endpoint = False
            self._say_state()

    def reloading(self) -> None:
        """The servers are restarted one after the other from now on."""
        with self._lock:
            if not self._is_stopping:
                self._is_reloading = True
                # systemd holds it against its own clock, to know whether its request or an earlier one is meant.
                self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
                self._say_state()

    def reloaded(self) -> None:
        """Every server is a new one, or the reload was given up."""
        with self._lock:
            if self._is_reloading and not self._is_stopping:
                self._is_reloading = False
                self._send("READY=1", self._status_line())

    def stopping(self) -> None:
        """The servers are drained and ended, also where no signal has asked for it."""
        with self._lock:
            self._stop()

    def tick(self, now: Callable[[], Snapshot]) -> None:
        """The supervisor's loop is alive; nobody else may say so."""
        if self.interval_s is not None:
            self._send("WATCHDOG=1")
        with self._lock:
            self._say_state()

    def close(self) -> None:
        """The run is over."""
        self.stopping()

    def _stop(self) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            self._send("STOPPING=1", "STATUS=draining and ending the servers")

    def _say_state(self) -> None:
        """READY once, and the status where it has changed."""
        status = self._status_line()
        is_up = not self._waits_for_endpoint and len(self._has_been_ready) >= self._slots
        if self._is_stopping or (status == self._status and self._is_announced == is_up):
            return
        if self._send(*([] if self._is_announced == is_up else ["READY=1"]), status):
            self._status, self._is_announced = status, is_up

    def _status_line(self) -> str:
        text = f"{len(self._ready)} of {counted(self._slots, 'server')} ready"
        return f"STATUS={text}, reloading" if self._is_reloading else f"STATUS={text}"

    def _send(self, *lines: str) -> bool:
        """One message; whether it was taken, which is said once where it was not."""
        if not self._address:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(PATIENCE_S)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._is_told:
                self._is_told = True
                reason = error.strerror or str(error)
                self._tell(f"systemd is not told how the servers stand: {SOCKET} takes nothing ({reason.lower()})")
            return False
        return True


def _address(name: str) -> str:
    """What to send to: a path, an abstract name behind "@"; "" where systemd has named nothing of the two."""
    return "\0" + name[1:] if name.startswith("@") else name if name.startswith("/") else ""
