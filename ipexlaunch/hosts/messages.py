"""What hosts say to each other: one JSON object a line, times, counts and reasons; and how each proves who it is.

Both sides prove that they have the token: the first host says a number that nobody can have heard before, a member
answers with an HMAC-SHA256 over both of their numbers, the job and its rank, and the first host does the same the other
way round. Nothing that is run comes from another host, and nothing secret goes there; lines are not encrypted.

    first host                                     member
    {"nonce": ...}                          ->
                                            <-     {"rank": 1, "hosts": 3, "name": "h2", ..., "proof": ...}
    {"welcome": proof, "name": "h1"}        ->
                                            <-     {"ready": true}
    {"go": true}                            ->
                                            <-     {"went": true}
                                            <-     {"stopping": why}, where it fails
    {"stop": why}                           ->
                                            <-     {"result": its part}
    {"verdict": the group in short}         ->
    {"beat": true}                         <->     {"beat": true}
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any, Literal

from ipexlaunch.documents.codec import dump_json, to_plain
from ipexlaunch.documents.read_text import read_json, read_message
from ipexlaunch.documents.visible_text import visible
from ipexlaunch.measure.across_hosts import LONGEST_TEXT

Message = dict[str, Any]

LONGEST_LINE = 1 << 16
"""Bytes of a line from a host that has proven who it is."""

LONGEST_UNPROVEN = 1 << 10
"""... of a line from anybody else."""

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendezvous:
    """Where the first host waits for the others, and what only they know."""

    job: str
    hosts: int
    addresses: tuple[str, ...]
    """All that the first host has, likeliest first."""
    port: int
    token: str


SCHEMA = "ipexlaunch/rendezvous/1"


def write_rendezvous(meeting: Rendezvous) -> str:
    """The rendezvous as JSON text; `read_rendezvous` gives the same value back."""
    return dump_json({"schema": SCHEMA, **to_plain(meeting)})


def read_rendezvous(text: str) -> Rendezvous:
    """The rendezvous that the text holds; looked at by hand, because `read_value` costs a tenth of a second at start.

    Args:
        text: JSON.

    Raises:
        ValueError: it is not such a document.
    """
    found = read_json(text.encode())
    if not isinstance(found, dict) or found.pop("schema", "") != SCHEMA:
        raise ValueError(f"it is no {SCHEMA}")
    match found:
        case {"job": str(job), "hosts": int(hosts), "addresses": [*addresses], "port": int(port), "token": str(token)}:
            return Rendezvous(job=job, hosts=hosts, addresses=tuple(map(str, addresses)), port=port, token=token)
    raise ValueError(f"it is no {SCHEMA}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a member says first."""

    rank: int
    hosts: int
    name: str
    launcher: str
    """Its own number, the same at whatever address it tries."""
    nonce: str
    proof: str


def hello_of(message: Message) -> Hello:
    """The first words of a member.

    Args:
        message: as it came.

    Raises:
        ValueError: it is something else.
    """
    match message:
        case {
            "rank": int(rank),
            "hosts": int(hosts),
            "name": str(name),
            "launcher": str(launcher),
            "nonce": str(nonce),
            "proof": str(given),
        } if name.isprintable() and len(name) <= LONGEST_NAME:
            return Hello(rank=rank, hosts=hosts, name=name, launcher=launcher, nonce=nonce, proof=given)
    raise ValueError("no hello")


def text_in(message: Message, key: str) -> str:
    """A text of another host, on one line and not too long.

    Args:
        message: as it came.
        key: where it stands.
    """
    return visible(str(message.get(key, "")))[:LONGEST_TEXT]


LONGEST_NAME = 255
"""Characters of a host's name."""


def proof(token: str, who: Literal["member", "first"], job: str, rank: int, theirs: str, ours: str) -> str:
    """What only somebody with the token can say now.

    Args:
        token: the secret.
        who: says it.
        job: of the start.
        rank: of the member.
        theirs: the number that the other side has said.
        ours: the number that this side says.
    """
    words = json.dumps([who, job, rank, theirs, ours]).encode()
    return hmac.new(token.encode(), words, hashlib.sha256).hexdigest()


def is_proof(given: object, expected: str) -> bool:
    """Whether the other side has proven it; it takes as long for every wrong answer.

    Args:
        given: what was said.
        expected: what `proof` gives.
    """
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())


def line_of(message: Message) -> bytes:
    """A message as it goes over the wire."""
    return json.dumps(message).encode() + b"\n"


def lines_in(buffer: bytearray, longest: int) -> list[Message]:
    """The whole messages at the beginning of a buffer, which are taken out.

    Args:
        buffer: what has come.
        longest: bytes that a line may have.

    Raises:
        ValueError: a line is longer, or no JSON object.
    """
    found = []
    while (end := buffer.find(b"\n")) >= 0 or len(buffer) > longest:
        if not 0 <= end <= longest:
            raise ValueError(f"a line of more than {longest} bytes")
        message = read_message(bytes(buffer[:end]))
        if not isinstance(message, dict):
            raise ValueError("no message")
        found.append(message)
        del buffer[: end + 1]
    return found
