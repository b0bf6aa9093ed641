"""Ask servers whether they are ready and alive: a thread for each, so that one that hangs delays no other."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from ipexlaunch.serve.probes import Probe, ProbeRules, is_well

FIRST_INTERVAL_S = 0.2
"""Between two probes of a server that is not ready yet, at first."""
GROWTH = 1.2
FIRST_PATIENCE_S = 30.0
"""After which it is said that a server is not ready, and why, then after twice the time each."""

LONGEST_BODY_BYTES = 1 << 16
"""Of an answer to a probe; what is longer is not read."""

LONGEST_FIRST_INTERVAL_S = 1.0
"""A server that loads for minutes is not asked five times a second all the while."""


def ask(probe: Probe, timeout_s: float) -> str:
    """Why a server did not answer as it should; "" where it did.

    Args:
        probe: what to ask.
        timeout_s: for the connection, and again for the answer, however slowly that trickles.
    """
    try:
        if probe.kind == "tcp":
            socket.create_connection((probe.host, probe.port), timeout_s).close()
            return ""
        connection = http.client.HTTPConnection(probe.host, probe.port, timeout=timeout_s)
        try:
            connection.connect()
            connection.sock = _PatientSocket(connection.sock.detach(), timeout_s)
            connection.request("GET", probe.target, headers={"Connection": "close", "User-Agent": "ipexlaunch"})
            answer = connection.getresponse()
            status = answer.status
            with contextlib.suppress(TimeoutError):  # one that streams has said that it is well
                answer.read(LONGEST_BODY_BYTES)  # a server whose answer is not taken complains of that
        finally:
            connection.close()
    except TimeoutError:
        return f"no answer from {probe.text} within {timeout_s:g} s"
    except OSError as error:
        return f"{probe.text}: {error.strerror or error}"
    except http.client.HTTPException as error:
        return f"{probe.text} does not speak HTTP: {type(error).__name__}"
    return "" if is_well(status) else f"{probe.text} answered {status}"


class _PatientSocket(socket.socket):
    """One whose answer may take so long as a whole, and not each part of it."""

    def __init__(self, descriptor: int, seconds: float) -> None:
        super().__init__(fileno=descriptor)
        self._until = time.monotonic() + seconds

    def recv_into(self, *arguments: Any) -> int:
        """As it does, and not later."""
        self.settimeout(max(0.001, self._until - time.monotonic()))
        return super().recv_into(*arguments)


class ProbingThread:
    """Asks one server, from its start to its end, again and again."""

    def __init__(
        self,
        probe: Probe,
        rules: ProbeRules,
        ready: Callable[[int], None],
        probed: Callable[[int, str], None],
        waited: Callable[[int, str], None],
    ) -> None:
        """Begin at rest; make it before workers are started, so that it is held to no worker's cpus.

        Args:
            probe: what to ask.
            rules: how often.
            ready: called in the thread with the attempt that answered for the first time.
            probed: called in the thread with the attempt and why it did not answer; with "" where it does again.
            waited: called in the thread with the attempt and "after 30 s (why)", now and then, where it is not ready.
        """
        self._probe, self._rules = probe, rules
        self._ready, self._probed, self._waited = ready, probed, waited
        self._attempt = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="ipexlaunch-probe", daemon=True).start()

    def watch(self, attempt: int) -> None:
        """Ask from now on.

        Args:
            attempt: the server's number; 0 for none any more.
        """
        with self._changed:
            self._attempt = attempt
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._attempt)
                attempt = self._attempt
            self._follow(attempt)

    def _follow(self, attempt: int) -> None:
        is_ready = was_late = False
        interval_s = FIRST_INTERVAL_S
        began, patience_s = time.monotonic(), FIRST_PATIENCE_S
        while self._attempt == attempt:
            trouble = ask(self._probe, self._rules.timeout_s)
            if self._attempt != attempt:
                return
            if not is_ready and not trouble:
                is_ready, interval_s = True, self._rules.interval_s
                self._ready(attempt)
            elif is_ready and (trouble or was_late):
                self._probed(attempt, trouble)
            elif not is_ready:
                interval_s = min(interval_s * GROWTH, LONGEST_FIRST_INTERVAL_S)
                if time.monotonic() - began >= patience_s:
                    self._waited(attempt, f"after {patience_s:.0f} s ({trouble})")
                    patience_s *= 2
            was_late = bool(trouble)
            with self._changed:
                self._changed.wait_for(lambda: self._attempt != attempt, interval_s)
