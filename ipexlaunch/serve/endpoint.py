"""One address in front of many servers: what a proxy is to be told, whichever proxy it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Literal

from ipexlaunch.errors import RequestError

Balance = Literal["leastconn", "roundrobin", "random"]
"""Whom a request goes to: the slot with the fewest in flight, each in turn, or the better of two drawn at random."""

LOOPBACK = "127.0.0.1"

HIGHEST_PORT = 65535

CONNECT_S = 5.0
"""For a connection to a slot."""

ANSWER_S = 600.0
"""Without a byte from a server or to a client before a request is given up: an answer that does not stream may take as
long as its last token."""

RETRIES = 3
"""Tries after the first; a request that kills servers kills no more than it is tried at."""

BODY_BYTES = 128 * 1024
"""Kept of a request, with its headers, so that it can be tried again; a larger one is tried once."""

CONNECTIONS = 4000
"""Of clients at the same time, where the proxy may open as many files."""

LONGEST_SOCKET_PATH = 90
"""Bytes: the kernel takes 107, and HAProxy binds to a longer name (its process id, ".tmp") that it renames."""

_HEADER = re.compile(r"[0-9A-Za-z-]+")
"""Narrower than RFC 9110 has it (5.6.2, token): what both proxies can name; nginx drops headers with an underscore."""

_PATH = re.compile(r"/[!-~]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where one server listens."""

    index: int
    """That of its instance."""
    port: int
    host: str = LOOPBACK
    """A numeric address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Everything that a configuration is written from."""

    address: str
    """A numeric address."""
    port: int
    slots: tuple[Slot, ...]
    balance: Balance
    health_path: str | None
    """Answered with 200 to 299 by a server that is alive; None: it is alive where its port takes connections."""
    affinity_header: str | None
    """Requests with the same value in it go to the same slot while that is up; None: each goes where there is room."""
    threads: int
    """Of the proxy."""
    drain_s: float
    """For what is in flight when the proxy is asked to end."""
    probe_interval_s: float
    probe_timeout_s: float
    probe_failures: int
    """One after another, before a slot gets no more requests."""
    connections: int = CONNECTIONS
    """Of clients, at the same time; the proxy has two files open for each."""
    admin_socket: str | None
    """Where the launcher tells HAProxy which slots are ready, a path; None: nobody does, and its own probes decide."""
    wait_script: str | None
    """A file with `WAIT_SCRIPT` of haproxy_config; None: a request that finds no slot is refused at once."""
    wait_s: float
    """How long a request waits for a slot to be ready, where there is a `wait_script`."""

    def check(self) -> None:
        """Refuse what no proxy could be told.

        Raises:
            RequestError: no slots, a port twice, a header or a path that is none, a socket's path that is too long.
        """
        wanted = f"serve at {joined(self.address, self.port)}"
        if not self.slots:
            raise RequestError(wanted, "there is no slot behind it", "plan one instance or more")
        places = [(self.address, self.port), *((slot.host, slot.port) for slot in self.slots)]
        for number, (host, port) in enumerate(places):
            if not 0 < port <= HIGHEST_PORT:
                raise RequestError(wanted, f"port {port} is none", f"ports are 1 to {HIGHEST_PORT}")
            if any(port == other and _overlap(host, its) for its, other in places[:number]):
                raise RequestError(wanted, f"{joined(host, port)} is asked for twice", "give --endpoint another port")
        if self.affinity_header is not None and not _HEADER.fullmatch(self.affinity_header):
            raise RequestError(wanted, f"{self.affinity_header!r} is no name of a header", "give one such as X-Session")
        if self.health_path is not None and not _PATH.fullmatch(self.health_path):
            problem = f"{self.health_path!r} is no path of a URL"
            raise RequestError(wanted, problem, "it begins with / and has neither spaces nor control characters")
        for path in (self.admin_socket, self.wait_script):
            if path is not None and any(character in path for character in "\0\r\n"):
                raise RequestError(wanted, f"{path!r} has a line break in it", "use another directory")
        length = len((self.admin_socket or "").encode(errors="surrogateescape"))
        if length > LONGEST_SOCKET_PATH:
            problem = f"the path of its admin socket has {length} bytes: {self.admin_socket}"
            raise RequestError(wanted, problem, f"{LONGEST_SOCKET_PATH} are possible: use a shorter directory")


def parse_endpoint(text: str) -> tuple[str, int]:
    """The address and the port of a text such as "127.0.0.1:8000", "[::1]:8000" or "localhost:8000".

    Args:
        text: as the user gave it.

    Raises:
        RequestError: it has no address, no port, a name that only a resolver knows, or a port that is none.
    """
    wanted = f"serve at {text!r}"
    hint = f"say {LOOPBACK}:8000 for this host alone, or 0.0.0.0:8000 for whoever reaches it"
    host, colon, digits = text.rpartition(":")
    if not colon or not host or (host.startswith("[") != host.endswith("]")) or (":" in host and host[0] != "["):
        raise RequestError(wanted, "an endpoint is an address and a port", hint)
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) <= HIGHEST_PORT):
        raise RequestError(wanted, f"{digits!r} is no port", f"ports are 1 to {HIGHEST_PORT}")
    bare = LOOPBACK if host == "localhost" else host.strip("[]")
    try:
        address = ip_address(bare)
    except ValueError:
        raise RequestError(wanted, f"{bare!r} is no numeric address", hint) from None
    if isinstance(address, IPv6Address) != host.startswith("["):
        raise RequestError(wanted, f"{bare!r} has brackets where it needs none", hint)
    return str(address), int(digits)


def reached_at(host: str) -> str:
    """The numeric address at which a proxy reaches a server that is probed at this host.

    Args:
        host: a numeric address, or a name such as localhost, for which IPv4 loopback stands.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return LOOPBACK
    if address.is_unspecified:  # to HAProxy it would mean the address that the client has asked for
        return "::1" if isinstance(address, IPv6Address) else LOOPBACK
    return str(address)


def _overlap(one: str, other: str) -> bool:
    """Whether two listeners with one port would be in each other's way; 0.0.0.0 is every address of IPv4."""
    first, second = ip_address(one), ip_address(other)
    return first == second or (first.version == second.version and (first.is_unspecified or second.is_unspecified))


def joined(address: str, port: int) -> str:
    """An address and a port as URLs and proxies write them.

    Args:
        address: numeric.
        port: of TCP.
    """
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
