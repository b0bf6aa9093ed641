"""Look whether ports are free before anything is started."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Mapping

from ipexlaunch.errors import RequestError
from ipexlaunch.machine.proc_files import text_of

LISTENING = "0A"
"""State of a socket in /proc/net/tcp: TCP_LISTEN of include/net/tcp_states.h."""


def refuse_taken_ports(places: Mapping[tuple[str, int], str]) -> None:
    """Refuse to start servers where somebody else listens.

    Args:
        places: (numeric address or name, port) to whose it is to be.

    Raises:
        RequestError: one is taken, or may not be used.
    """
    for (host, port), whose in places.items():
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            wanted = f"have {whose} listen on {host}"
            raise RequestError(wanted, error.strerror or str(error), "give a numeric address of this host") from None
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was left a moment ago is free
            try:
                trial.bind(address)
            except OSError as error:
                raise _refusal(error, whose, host, port) from None


def port_problem(host: str, port: int) -> str:
    """ "port 8000 is taken by process 4711 (python3)"; "" where nobody else listens there.

    Args:
        host: numeric address or name.
        port: of it.
    """
    try:
        refuse_taken_ports({(host, port): "the endpoint"})
    except RequestError as error:
        return error.available
    return ""


def _refusal(error: OSError, whose: str, host: str, port: int) -> RequestError:
    option = "--endpoint" if whose == "the endpoint" else "--port"
    if error.errno == errno.EADDRINUSE:
        holder = _holder(port)
        problem = f"port {port} is taken{holder}"
        return RequestError(f"have {whose} listen on {host}", problem, f"end that program, or give another {option}")
    hint = f"give {option} from 1024 on" if error.errno == errno.EACCES else f"give {option} an address of this host"
    return RequestError(f"have {whose} listen on {host}, port {port}", error.strerror or str(error), hint)


def _holder(port: int) -> str:
    """ " by process 4711 (python3)", as far as this user may see that."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        rows = [line.split() for line in (text_of(table) or "").splitlines()[1:]]
        ours = [row for row in rows if row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port]
        sockets |= {f"socket:[{row[9]}]" for row in ours}
    for pid in filter(str.isdecimal, os.listdir("/proc") if sockets else ()):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if any(_link(f"/proc/{pid}/fd/{each}") in sockets for each in os.listdir(f"/proc/{pid}/fd")):
                return f" by process {pid} ({(text_of(f'/proc/{pid}/comm') or '').strip()})"
    return ""


def _link(path: str) -> str:
    """What a descriptor is; "" where it was closed in the meantime: a busy program opens and closes many."""
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""
