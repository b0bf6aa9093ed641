"""How hosts find each other: a directory that all share, in which the first one says where it listens, or an address.

Whose the directory is decides `hold_place`, and where the first host is stands in a file that is renamed into place,
both of which hold on network file systems. A name may be seen late there: members look until they are tired of it.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import socket
from collections.abc import Iterable, Iterator

import psutil

from ipexlaunch.documents.write_file import write_file
from ipexlaunch.errors import HeldError, LaunchError
from ipexlaunch.hosts.member import WANTED, Member
from ipexlaunch.hosts.messages import Rendezvous, read_rendezvous, write_rendezvous
from ipexlaunch.hosts.talk.member_host import Meeting, Refusal
from ipexlaunch.launch.hold_place import Hold, hold_place
from ipexlaunch.report.kept_runs.run_directory import (
    ANOTHER,
    GROUP,
    GROUP_HOLD,
    PRIVATE,
    RENDEZVOUS,
    WRITABLE,
    check_holds_no_run,
    keeping_in,
)

MOST_ADDRESSES = 16
"""Of one host."""

BACKLOG = 128
"""Connections that may wait to be accepted."""


@contextlib.contextmanager
def host_directory(path: str, member: Member) -> Iterator[str]:
    """A host's own run directory inside of the group's; one in which nothing is kept goes at the end.

    Args:
        path: of the group.
        member: the host.

    Raises:
        HeldError: another start has made it just now.
        LaunchError: it cannot be made.
    """
    own = os.path.join(path, f"host-{member.rank}-{re.sub('[^A-Za-z0-9._-]', '-', member.name)[:60]}")
    with keeping_in(path, WRITABLE):
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
            os.mkdir(own, 0o700)
        except FileExistsError:
            there = f"another start has made {os.path.basename(own)} just now"
            raise HeldError(f"keep the run in {path}", there, ANOTHER) from None
    try:
        yield own
    finally:
        for each in (own, path):
            with contextlib.suppress(OSError):  # something is kept there
                os.rmdir(each)


def claim_directory(path: str, member: Member) -> Hold:
    """Make sure that a directory is this start's, for the first host.

    Args:
        path: of the group.
        member: the first host.

    Raises:
        HeldError: another start that lives has it.
        LaunchError: it holds a run already, or cannot be written.
    """
    with keeping_in(path, WRITABLE):
        os.makedirs(path, mode=0o700, exist_ok=True)
        hold = hold_place(os.path.join(path, GROUP_HOLD), f"keep the run in {path}", ANOTHER)
    try:
        check_holds_no_run(path)
        _check_unused(path, member)
    except BaseException:
        hold.release()
        raise
    return hold


def check_directory_of_member(path: str, member: Member) -> None:
    """Find out that a directory is another start's, for every other host; nothing is made.

    Args:
        path: of the group.
        member: the host.

    Raises:
        HeldError: another start has it.
        LaunchError: it holds a run already.
    """
    _check_unused(path, member)
    try:
        found = look_in(path, member)
    except OSError:
        return  # it is looked at again
    if isinstance(found, Refusal):
        kind = HeldError if os.path.lexists(os.path.join(path, GROUP_HOLD)) else LaunchError  # it lasts, or is over
        raise kind(f"keep the run in {path}", found.why, ANOTHER)


def _check_unused(path: str, member: Member) -> None:
    held = [GROUP] if os.path.lexists(os.path.join(path, GROUP)) else []
    held += glob.glob(os.path.join(glob.escape(path), f"host-{member.rank}-*"))
    if held:
        raise LaunchError(f"keep the run in {path}", f"it holds {os.path.basename(held[0])} already", ANOTHER)


def leave_rendezvous(path: str, meeting: Rendezvous) -> None:
    """Say in the group's directory where the first host listens.

    Args:
        path: of the group.
        meeting: what is to be said; nobody else may read it.

    Raises:
        LaunchError: it cannot be written.
    """
    with keeping_in(path):
        write_file(os.path.join(path, RENDEZVOUS), write_rendezvous(meeting), mode=PRIVATE)


def look_in(path: str, member: Member) -> Meeting | Refusal | None:
    """Where the first host says that it listens; None where it has not said so yet.

    Args:
        path: of the group.
        member: who looks.

    Raises:
        OSError: it cannot be read.
    """
    if os.path.lexists(os.path.join(path, GROUP)):
        return Refusal(f"the run in {path} is over: it holds {GROUP}")
    name = os.path.join(path, RENDEZVOUS)
    try:
        with open(name, encoding="utf-8") as file:
            meeting = read_rendezvous(file.read())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise OSError(errno.EINVAL, f"{name}: {error}") from None
    if meeting.job != member.job:
        return Refusal(f"{name} is of another start ({meeting.job or 'without a job id'}, not {member.job or 'one'})")
    return Meeting(addresses=tuple((each, meeting.port) for each in meeting.addresses), token=meeting.token)


def look_up(host: str, port: int, token: str) -> Meeting:
    """The addresses of the first host where it is named.

    Args:
        host: its name or address.
        port: where it listens.
        token: the secret.

    Raises:
        OSError: there is no such host, as far as is known now.
    """
    found = [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    return Meeting(addresses=tuple((each, port) for each in dict.fromkeys(found)), token=token)


def open_listener(ports: Iterable[int]) -> socket.socket:
    """A socket to which the other hosts come, at every address of this one.

    Args:
        ports: the first that is free is taken; 0 lets the kernel choose.

    Raises:
        LaunchError: none is free.
    """
    trouble = "no port was given"
    for port in ports:
        for family in (socket.AF_INET6, socket.AF_INET):
            try:
                both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
                return socket.create_server(("", port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
            except OSError as error:  # a kernel without IPv6 has IPv4
                trouble = f"port {port}: {error.strerror}"
    raise LaunchError(WANTED, trouble, "give another port, or a range of them: --rendezvous-ports A-B")


def addresses_here() -> tuple[str, ...]:
    """The addresses of this host, those first at which others reach it."""
    found: list[tuple[bool, int, str]] = []
    for each in (each for every in psutil.net_if_addrs().values() for each in every):
        if each.family in (socket.AF_INET, socket.AF_INET6) and "%" not in each.address:
            is_loopback = each.address.startswith("127.") or each.address == "::1"
            found.append((is_loopback, 4 if each.family == socket.AF_INET else 6, each.address))
    return tuple(address for _, _, address in sorted(found))[:MOST_ADDRESSES]
