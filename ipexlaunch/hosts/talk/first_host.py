"""The first host: lets the others in, gives the start once all are ready, collects what each did, says how it went."""

from __future__ import annotations

import secrets
import selectors
import socket
import time
from collections.abc import Callable

from ipexlaunch.hosts.barrier import Barrier
from ipexlaunch.hosts.member import Member
from ipexlaunch.hosts.messages import Message, hello_of, is_proof, proof, text_in
from ipexlaunch.hosts.talk.background import Patience, Talk
from ipexlaunch.hosts.talk.line_peer import LinePeer

STRANGER_S = 10.0
"""How long somebody who connects may take to prove who it is."""

MOST_STRANGERS = 64
"""... and a few for each host; of one more, who has been there longest has to go."""

ADDRESSES_TRIED = 4
"""So many of our addresses may lead a host here at once."""

COMPLAINTS = 8
"""So many reasons for which connections were refused are told, each once."""

NOTICE_S = 10.0
"""Whoever is waited for that long is named."""

LAST_WORDS_S = 2.0
"""How long the others may take to hear how it went."""


class FirstHost:
    """The part of the first host."""

    def __init__(
        self,
        talk: Talk,
        member: Member,
        token: str,
        listener: socket.socket,
        patience: Patience,
        tell: Callable[[str], None],
    ) -> None:
        """Let others in from now on.

        Args:
            talk: the thread in which all this happens.
            member: the first host.
            token: what the others must have.
            listener: where they come.
            patience: how long they are waited for.
            tell: says a line to the user.
        """
        self._talk = talk
        self._member = member
        self._token = token
        self._listener: socket.socket | None = listener
        self._patience = patience
        self._tell = tell
        self._barrier = Barrier(member)
        self._strangers: dict[LinePeer, tuple[str, float]] = {}
        self._peers: dict[int, LinePeer] = {}
        self._launchers: dict[int, str] = {}
        self._join_by = time.monotonic() + patience.join_s
        self._beat_at = 0.0
        self._leave_at: float | None = None
        self._notice_at: float | None = None
        """When to say who is waited for."""
        self._complaints: set[str] = set()
        talk.let_in()
        listener.setblocking(False)
        talk.selector.register(listener, selectors.EVENT_READ, self._accept)
        self._listen_while_absent()

    def due(self) -> float | None:
        """When something of the following is due: a beat, or the end of somebody's patience."""
        times = [self._beat_at, *(until for _, until in self._strangers.values())]
        times += [peer.heard + self._patience.silent_s for peer in self._peers.values()]
        if self._barrier.absent and not self._barrier.broken:
            times.append(self._join_by)
        times += [each for each in (self._leave_at, self._notice_at) if each is not None]
        return min(times)

    def mind(self, now: float) -> None:
        """Say that we live; give up who is silent, or does not come."""
        for stranger in [each for each, (_, until) in self._strangers.items() if until <= now]:
            self._refuse(stranger, f"it said nothing for {STRANGER_S:g} s")
        if now >= self._beat_at:
            self._beat_at = now + self._patience.silent_s / 4
            for peer in self._peers.values():
                peer.send({"beat": True})
        for rank, peer in list(self._peers.items()):
            if now >= peer.heard + self._patience.silent_s:
                self._lose(rank, f"was not heard of for {self._patience.silent_s:g} s")
        if (absent := self._barrier.absent) and not self._barrier.broken and now >= self._join_by:
            who = f"rank{'s' * (len(absent) > 1)} {', '.join(map(str, absent))} of {self._barrier.size}"
            self._break(f"{who} did not join within {self._patience.join_s:g} s (--join-timeout)")
        if self._notice_at is not None and now >= self._notice_at:
            self._notice_at = None
            if waited_for := self._barrier.waited_for:
                self._tell(f"waiting for {', '.join(map(self._barrier.label, waited_for))}")
        if self._leave_at is not None and (now >= self._leave_at or not self._peers):
            self._talk.end()

    def ready(self) -> None:
        """Every worker here waits for the start."""
        self._barrier.ready(0)
        self._notice_at = time.monotonic() + NOTICE_S
        self._start_or_not()

    def stopping(self, text: str) -> None:
        """This host fails."""
        self._break(f"{self._member.label}: {text}", 0)

    def result(self, message: Message) -> None:
        """What this host did."""
        self._barrier.ended(0, message)
        self._notice_at = time.monotonic() + NOTICE_S
        self._start_or_not()
        self._end_where_over()

    def verdict(self, message: Message) -> None:
        """Tell all how it went, and leave once they have heard it."""
        for peer in self._peers.values():
            peer.send({"verdict": message})
        self._leave_at = time.monotonic() + LAST_WORDS_S

    def close(self) -> None:
        """Leave no connection."""
        for peer in (*self._strangers, *self._peers.values()):
            peer.close()
        if self._listener is not None:
            self._listener.close()

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it has gone again, or there is no room
            return
        if len(self._strangers) >= MOST_STRANGERS + ADDRESSES_TRIED * self._barrier.size:
            self._refuse(next(iter(self._strangers)), "too many connect")
        stranger = LinePeer(connection, self._talk.selector, self._let_in)
        nonce = secrets.token_hex(16)
        self._strangers[stranger] = nonce, time.monotonic() + STRANGER_S
        stranger.send({"nonce": nonce})

    def _refuse(self, stranger: LinePeer, why: str) -> None:
        if why and why not in self._complaints and len(self._complaints) < COMPLAINTS:
            self._complaints.add(why)
            self._tell(f"a connection from {stranger.address()} was refused: {why} (more of the kind are not told)")
        stranger.close()
        self._strangers.pop(stranger, None)

    def _let_in(self, stranger: LinePeer) -> None:
        """Let somebody in who has the token and the rank of nobody else."""
        messages = stranger.take()
        if stranger.ended and not messages:
            self._refuse(stranger, "" if stranger.is_silent else stranger.ended)
        if not messages:
            return
        nonce, _ = self._strangers[stranger]
        try:
            hello = hello_of(messages[0])
            given = proof(self._token, "member", self._member.job, hello.rank, nonce, hello.nonce)
            has_token = is_proof(hello.proof, given) and len(messages) == 1
        except ValueError:
            has_token = False
        if not has_token:
            self._refuse(stranger, "it has not the token of this start")
            return
        del self._strangers[stranger]
        if self._launchers.get(hello.rank) == hello.launcher:
            stranger.close()  # the same one, at another of our addresses
            return
        ours = proof(self._token, "first", self._member.job, hello.rank, hello.nonce, nonce)
        stranger.send({"welcome": ours, "name": self._member.name})
        why = ""
        if hello.hosts != self._barrier.size or not 0 < hello.rank < self._barrier.size:
            why = f"there are {self._barrier.size} hosts in this start, and it is rank {hello.rank} of {hello.hosts}"
        elif hello.rank in self._barrier.names:
            why = f"{self._barrier.label(hello.rank)} has joined already"
        if why:
            stranger.send({"refused": why})
            self._refuse(stranger, why)
            return
        self._launchers[hello.rank] = hello.launcher
        stranger.proven = True
        self._barrier.names[hello.rank] = hello.name
        self._peers[hello.rank] = stranger
        stranger.serve = lambda: self._hear(hello.rank, stranger)
        if self._barrier.broken:
            stranger.send({"stop": self._barrier.broken[0]})
        self._listen_while_absent()

    def _listen_while_absent(self) -> None:
        """Let nobody in any more once all are here."""
        if not self._barrier.absent and self._listener is not None:
            self._talk.selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
            for stranger in self._strangers:
                stranger.close()
            self._strangers.clear()

    def _hear(self, rank: int, peer: LinePeer) -> None:
        messages = peer.take()
        now = time.monotonic()
        for message in messages:
            if "went" in message:
                self._barrier.answered(rank, now)
            elif "ready" in message:
                self._barrier.ready(rank)
                self._start_or_not()
            elif "stopping" in message:
                self._break(f"{self._barrier.label(rank)}: {text_in(message, 'stopping')}", rank)
            elif "result" in message:
                self._barrier.ended(rank, message)
                self._start_or_not()
        if peer.ended:
            self._lose(rank, f"was lost: {peer.ended}")
        self._end_where_over()

    def _start_or_not(self) -> None:
        """Give the start where all are ready; stop where one has ended without it that others wait for."""
        if not self._barrier.broken and (early := self._barrier.ended_early) is not None:
            self._break(f"{self._barrier.label(early)} ended before the common start")
        if self._barrier.may_start:
            for rank, peer in self._peers.items():
                self._barrier.sent(rank, time.monotonic())
                peer.send({"go": True})
            self._barrier.began = self._talk.say("released")

    def _lose(self, rank: int, why: str) -> None:
        """A host is gone: after the verdict that is all right."""
        self._peers.pop(rank).close()
        if self._leave_at is None:
            self._barrier.lost.add(rank)
            self._break(f"{self._barrier.label(rank)} {why}", rank)
            self._end_where_over()

    def _break(self, why: str, origin: int | None = None) -> None:
        """Stop all but the one that is the reason."""
        if not self._barrier.breaks(why):
            return
        for rank, peer in self._peers.items():
            if rank != origin:
                peer.send({"stop": why})
        if origin != 0:
            self._talk.say("lost", why)

    def _end_where_over(self) -> None:
        barrier = self._barrier
        if barrier.is_over and self._talk.over is None:
            known = {
                str(rank): {**message, "bounds": barrier.bounds(rank)} for rank, message in barrier.results.items()
            }
            self._talk.conclude({"parts": known, "broken": barrier.broken})
