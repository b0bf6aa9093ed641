"""What tells that a server is ready and alive (`--ready-when`), as a value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from ipexlaunch.errors import RequestError
from ipexlaunch.plan.plan import Instance, fill_template, names_in, values_of

OPTION = "--ready-when"
WORDS = "http://127.0.0.1:{port}/health, tcp://127.0.0.1:{port} or output:REGEX"

BY_PORT = "tcp://127.0.0.1:{port}"
"""What is probed where nobody says anything and the program is given {port}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One server's, with its port filled in."""

    kind: Literal["http", "tcp"]
    host: str
    port: int
    target: str = ""
    """http: the path, with its query."""

    @property
    def text(self) -> str:
        """As it was asked for."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyRule:
    """What was asked for: a URL that is probed, or a line of the server's output."""

    url: str = ""
    """A template; "" where a line says it."""
    line: re.Pattern[str] | None = None

    def probe_of(self, instance: Instance, count: int, first_port: int) -> Probe:
        """The probe of one server.

        Args:
            instance: its slot.
            count: of instances.
            first_port: {port} of instance 0.

        Raises:
            RequestError: what is filled in makes no URL.
        """
        return read_url(fill_template(self.url, values_of(instance, count, first_port)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRules:
    """How often and how patiently servers are probed."""

    interval_s: float = 5.0
    """Between two probes of a server that is ready."""
    timeout_s: float = 2.0
    """Of one probe."""
    failures: int = 3
    """So many in a row end a server that was ready."""


def read_ready_rule(text: str | None, words: tuple[str, ...]) -> ReadyRule:
    """What tells that a server is ready.

    Args:
        text: of the option; None where it was not given.
        words: of the program, whose {port} is probed then.

    Raises:
        RequestError: it is none of the three forms; or nothing is said, and the program has no port of its own.
    """
    if text is None:
        if not any("port" in names_in(word) for word in words):
            given = f"the program is not given {{port}}, and {OPTION} is not given"
            raise RequestError("know when a server is ready", given, f"give {OPTION}: {WORDS}")
        text = BY_PORT
    if text.startswith("output:"):
        try:
            return ReadyRule(line=re.compile(text.removeprefix("output:")))
        except re.error as error:
            raise RequestError(f"wait for {text}", f"it is no regular expression: {error}", f"give {WORDS}") from None
    read_url(fill_template(text, dict.fromkeys(names_in(text), "1")))
    return ReadyRule(url=text)


def read_url(text: str) -> Probe:
    """A probe, from a URL without templates.

    Raises:
        RequestError: it has another scheme, no host or no port, or more than a probe has.
    """
    hint = f"give {WORDS}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise RequestError(f"probe {text}", str(error), hint) from None
    if parts.scheme not in ("http", "tcp"):
        raise RequestError(f"probe {text}", "it is neither http:// nor tcp://, nor output:", hint)
    if not host:
        raise RequestError(f"probe {text}", "it names no host", hint)
    if parts.username is not None or parts.fragment:
        raise RequestError(f"probe {text}", "a probe has no user and no fragment", hint)
    if parts.scheme == "tcp":
        if not port or parts.path or parts.query:
            raise RequestError(f"probe {text}", "tcp:// has a host and a port, and nothing else", hint)
        return Probe(kind="tcp", host=host, port=port)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii() or any(character <= " " for character in target):
        raise RequestError(f"probe {text}", "its path has characters that stand in no URL", "encode them with %")
    return Probe(kind="http", host=host, port=port or 80, target=target)


def is_well(status: int) -> bool:
    """Whether an HTTP status says that the server is ready: 2xx, as load balancers have it."""
    return 200 <= status < 300
