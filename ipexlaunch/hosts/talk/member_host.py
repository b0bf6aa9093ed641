"""A host that is not the first: finds the first one, proves who it is, begins when it is told to, says what it did."""

from __future__ import annotations

import errno
import os
import secrets
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ipexlaunch.errors import TRY_AGAIN
from ipexlaunch.hosts.member import Member
from ipexlaunch.hosts.messages import Message, is_proof, proof, text_in
from ipexlaunch.hosts.talk.background import Patience, Talk
from ipexlaunch.hosts.talk.line_peer import LinePeer
from ipexlaunch.launch.wait_for_disk import DiskThread
from ipexlaunch.measure.across_hosts import label_of
from ipexlaunch.measure.report import EXIT_INVALID

LOOK_S = 0.05
"""Between two looks at what the first host leaves."""

ANSWER_S = 5.0
"""How long the first host may take to answer at one of its addresses."""

AGAIN_S = 0.2
"""Between two attempts to reach it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Where the first host is to be found."""

    addresses: tuple[tuple[str, int], ...]
    """With ports; numbers, no names."""
    token: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """That it is not worth waiting."""

    why: str


@dataclass(slots=True)
class _Attempt:
    """A connection that is on its way."""

    address: tuple[str, int]
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    theirs: str = ""
    """What the other side has said."""


class MemberHost:
    """The part of every other host."""

    def __init__(
        self,
        talk: Talk,
        member: Member,
        look: Callable[[], Meeting | Refusal | None],
        nowhere: str,
        patience: Patience,
    ) -> None:
        """Look for the first host from now on.

        Args:
            talk: the thread in which all this happens.
            member: this host.
            look: finds out where the first host is; None where that is not known yet. It may take its time, or raise an
                OSError.
            nowhere: what is said where that stays unknown, as a phrase that follows "no".
            patience: how long hosts wait for each other.
        """
        self._talk = talk
        self._member = member
        self._look = look
        self._nowhere = nowhere
        self._patience = patience
        self._join_by = time.monotonic() + patience.join_s
        self._disk: DiskThread | None = DiskThread()
        self._look_at: float | None = 0.0
        """When to look again; None while somebody looks, or need not."""
        self._meeting: Meeting | None = None
        self._attempts: dict[LinePeer, _Attempt] = {}
        self._attempts_until = 0.0
        self._trouble = ""
        """Why it could not be reached last."""
        self._peer: LinePeer | None = None
        """The first host, once both have proven who they are."""
        self._first = "the first host"
        self._unsent: list[Message] = []
        """What it is to be told then."""
        self._beat_at = 0.0
        self._launcher = secrets.token_hex(8)
        talk.selector.register(self._disk, selectors.EVENT_READ, self._looked)

    def due(self) -> float | None:
        """When something of the following is due: a beat, a look, the end of an attempt or of the patience."""
        if self._talk.over is not None:
            return None
        if self._peer is not None:
            return min(self._beat_at, self._peer.heard + self._patience.silent_s)
        times = [self._join_by]
        if self._look_at is not None:
            times.append(self._look_at)
        if self._meeting is not None:
            times.append(self._attempts_until)
        return min(times)

    def mind(self, now: float) -> None:
        """Say that we live; look for the first host, or give it up."""
        if self._talk.over is not None:
            self._talk.end()
        elif self._peer is not None:
            if now >= self._beat_at:
                self._beat_at = now + self._patience.silent_s / 4
                self._peer.send({"beat": True})
            if now >= self._peer.heard + self._patience.silent_s:
                self._lose(f"{self._first} was not heard of for {self._patience.silent_s:g} s")
        elif now >= self._join_by:
            self._lose(self._missing())
        elif self._meeting is not None and now >= self._attempts_until:
            self._connect(self._meeting, now)
        elif self._look_at is not None and self._disk is not None and now >= self._look_at:
            self._look_at = None
            self._disk.begin(self._look, "find the first host")

    def ready(self) -> None:
        """Every worker here waits for the start."""
        self._send({"ready": True})

    def stopping(self, text: str) -> None:
        """This host fails, and why."""
        self._send({"stopping": text})

    def result(self, message: Message) -> None:
        """What this host did."""
        self._send({"result": message})

    def verdict(self, message: Message) -> None:
        """It is the first host that says it."""

    def close(self) -> None:
        """Leave no connection."""
        for peer in self._attempts:
            peer.close()
        if self._peer is not None:
            self._peer.close()
        self._look_no_more()

    def _send(self, message: Message) -> None:
        if self._peer is not None:
            self._peer.send(message)
        else:
            self._unsent.append(message)

    def _looked(self) -> None:
        if self._disk is None or not self._disk.answered:
            return
        try:
            found = self._disk.take()
        except OSError as error:
            found, self._trouble = None, str(error.strerror or error)
        if isinstance(found, Refusal):
            self._lose(found.why, TRY_AGAIN)
        elif found is None:
            self._look_at = time.monotonic() + LOOK_S
        else:
            self._meeting = found
            self._connect(found, time.monotonic())

    def _look_no_more(self) -> None:
        if self._disk is not None:
            if self._disk.busy:
                return  # it hangs, and ends with the process
            self._talk.selector.unregister(self._disk)
            self._disk.end()
            self._disk = None

    def _connect(self, meeting: Meeting, now: float) -> None:
        """Try every address at once: some of them are not for us, and some lead nowhere."""
        for peer in list(self._attempts):
            self._give_up(peer, "no answer")
        self._attempts_until = now + ANSWER_S
        for address in meeting.addresses:
            try:
                connection = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
            except OSError as error:
                self._trouble = str(error.strerror)
                continue
            connection.setblocking(False)
            code = connection.connect_ex(address)
            if code in (0, errno.EINPROGRESS):
                self._attempts[LinePeer(connection, self._talk.selector, self._meet)] = _Attempt(address)
            else:
                self._trouble = os.strerror(code)
                connection.close()
        self._try_again_where_none()

    def _give_up(self, peer: LinePeer, why: str) -> None:
        attempt = self._attempts.pop(peer)
        self._trouble = f"{attempt.address[0]} port {attempt.address[1]}: {why}"
        peer.close()

    def _try_again_where_none(self) -> None:
        if not self._attempts:
            self._attempts_until = time.monotonic() + AGAIN_S

    def _meet(self, peer: LinePeer) -> None:
        """Prove who we are, and have it proven who that is."""
        attempt = self._attempts[peer]
        for message in peer.take():
            if self._peer is peer:
                self._hear_one(message)
            elif isinstance(message.get("nonce"), str) and not attempt.theirs:
                attempt.theirs = message["nonce"]
                peer.send(self._hello(attempt))
            elif is_proof(message.get("welcome"), self._proof("first", attempt.nonce, attempt.theirs)):
                self._joined(peer, text_in(message, "name"))
            else:
                peer.ended = "somebody else answers there"
        if peer.ended and peer is not self._peer:
            self._give_up(peer, peer.ended)
            self._try_again_where_none()

    def _hello(self, attempt: _Attempt) -> Message:
        member, nonce = self._member, attempt.nonce
        ours = {"rank": member.rank, "hosts": member.size, "name": member.name, "launcher": self._launcher}
        return {**ours, "nonce": nonce, "proof": self._proof("member", attempt.theirs, nonce)}

    def _proof(self, who: Literal["member", "first"], theirs: str, ours: str) -> str:
        token = "" if self._meeting is None else self._meeting.token
        return proof(token, who, self._member.job, self._member.rank, theirs, ours)

    def _joined(self, peer: LinePeer, name: str) -> None:
        del self._attempts[peer]
        for other in self._attempts:
            other.close()
        self._attempts.clear()
        self._look_no_more()
        self._peer = peer
        self._first = f"the first host, {label_of(name, 0)},"
        peer.proven = True
        peer.serve = self._hear
        for message in self._unsent:
            peer.send(message)
        self._talk.let_in()

    def _hear(self) -> None:
        if self._peer is None:
            return
        for message in self._peer.take():
            self._hear_one(message)
        if self._peer.ended and self._talk.over is None:
            self._lose(f"{self._first} was lost: {self._peer.ended}")

    def _hear_one(self, message: Message) -> None:
        if "go" in message:
            self._talk.say("released")
            self._send({"went": True})
        elif "stop" in message:
            self._talk.say("lost", text_in(message, "stop"))
        elif "refused" in message:
            self._lose(f"{self._first} refuses this host: {text_in(message, 'refused')}", TRY_AGAIN)
        elif isinstance(message.get("verdict"), dict):
            self._talk.conclude(message["verdict"])

    def _lose(self, why: str, code: int = EXIT_INVALID) -> None:
        """The group is lost to this host."""
        if self._talk.over is None:
            self._talk.say("lost", why)
            self._talk.conclude({"valid": False, "reasons": [why], "code": code})

    def _missing(self) -> str:
        waited = f"within {self._patience.join_s:g} s (--join-timeout)"
        last = f" ({self._trouble})" if self._trouble else ""
        if self._meeting is None:
            return f"no {self._nowhere} {waited}{last}"
        return f"the first host did not answer {waited}; hosts must be able to connect to each other{last}"
