"""The socket over which a service is steered: one line of JSON asks, one answers. Both ends.

It stands beside the run's status socket, in a directory that only its user can enter.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from collections.abc import Callable, Mapping
from typing import Any

from ipexlaunch.errors import LaunchError
from ipexlaunch.launch.run_record import Snapshot
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.report.live.serve_status import SUFFIX as STATUS_SUFFIX
from ipexlaunch.report.live.serve_status import Callers, listen_at
from ipexlaunch.serve.keep_servers import ServiceKeeper
from ipexlaunch.serve.slot_states import standing

SUFFIX = ".ctl"
LONGEST_REQUEST = 4096
PATIENCE_S = 5.0
"""How long the launcher may take to answer."""


def control_path(status_path: str) -> str:
    """Where a run's control socket is.

    Args:
        status_path: of its status socket.
    """
    return status_path.removesuffix(STATUS_SUFFIX) + SUFFIX


class ControlSocket(Observer):
    """The launcher's end; it never waits for who asks."""

    def __init__(self, status_path: str, keeper: ServiceKeeper) -> None:
        """Listen.

        Args:
            status_path: of the run's status socket.
            keeper: does what is asked for.

        Raises:
            LaunchError: that is not possible.
        """
        self.path = control_path(status_path)
        self._keeper = keeper
        try:
            self._callers = Callers(listen_at(self.path), select.EPOLLIN)
        except OSError as error:
            hint = "set XDG_RUNTIME_DIR to a directory of yours"
            raise LaunchError(f"be steered over {self.path}", error.strerror or str(error), hint) from None

    def fileno(self) -> int | None:
        """What to wait for."""
        return self._callers.fileno()

    def ready(self, now: Callable[[], Snapshot]) -> None:
        """Answer who asks.

        Args:
            now: how the run stands.
        """
        for connection, before in self._callers.ready():
            self._hear(connection, before or b"")

    def close(self) -> None:
        """Stop listening and remove the socket."""
        with contextlib.suppress(OSError):  # somebody cleaned up
            os.unlink(self.path)
        self._callers.close()

    def _hear(self, connection: socket.socket, before: bytes) -> None:
        try:
            data = connection.recv(LONGEST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        text = before + data
        if data and b"\n" not in text and len(text) <= LONGEST_REQUEST:
            self._callers.keep(connection, text)
            return
        if b"\n" in text:
            answer = json.dumps(self._answer(text.partition(b"\n")[0]), separators=(",", ":")) + "\n"
            with contextlib.suppress(OSError):  # it does not listen any more; an answer is shorter than a buffer
                connection.send(answer.encode(), socket.MSG_NOSIGNAL)
        self._callers.drop(connection)

    def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            asked = json.loads(line)
            command, slots = asked["do"], asked.get("slots", [])
            places = [self._keeper.place_of(int(index)) for index in slots]
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return {"problem": "it does not understand the request"}
        missing = [index for index, place in zip(slots, places, strict=True) if place is None]
        if missing:
            there = ", ".join(str(slot.index) for slot in self._keeper.state.slots)
            return {"problem": f"there is no instance {missing[0]}, but {there}"}
        found = [place for place in places if place is not None]
        if command == "reload":
            self._keeper.reload(found or None)
        elif command == "drain" and found:
            self._keeper.drain(found[0])
        elif command == "stop":
            self._keeper.stop()
        elif command != "stand":
            return {"problem": f"it knows no command {command!r}"}
        return self._stand()

    def _stand(self) -> Mapping[str, Any]:
        keeper, state = self._keeper, self._keeper.state
        return {
            "endpoint": keeper.where,
            "stopping": state.stopping,
            "reloading": state.is_reloading or keeper.is_asked_to_reload,
            "reloads": state.reloads,
            "slots": [
                {"index": slot.index, "state": word, "restarts": slot.restarts, "attempt": slot.attempt,
                 "in_flight": keeper.requests.in_flight.get(place)}
                for place, (slot, word) in enumerate(zip(state.slots, standing(state), strict=True))
            ],
        }  # fmt: skip


def ask_service(status_path: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a service answers.

    Args:
        status_path: of its run's status socket.
        request: "do" (stand, reload, drain, stop), and "slots": indices of instances.

    Raises:
        LaunchError: it does not answer, or refuses.
    """
    path, data = control_path(status_path), b""
    wanted = f"ask the service to {request['do']}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(PATIENCE_S)
            line.connect(path)
            line.sendall(json.dumps(dict(request)).encode() + b"\n")
            while part := line.recv(1 << 16):
                data += part
        answer = json.loads(data)
    except TimeoutError:
        raise LaunchError(wanted, f"its launcher does not answer within {PATIENCE_S:g} s", "is it stopped?") from None
    except OSError as error:
        raise LaunchError(wanted, f"{path}: {error.strerror}", "it may have ended just now") from None
    except ValueError:
        raise LaunchError(
            wanted, f"its launcher answers {data[:80]!r}", "ask with the ipexlaunch that it runs"
        ) from None
    if not isinstance(answer, dict) or "problem" in answer:
        problem = answer.get("problem") if isinstance(answer, dict) else "it answers something else"
        raise LaunchError(wanted, str(problem), "`ipexlaunch serve status` shows what is there")
    return answer
