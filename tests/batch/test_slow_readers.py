"""A worker that does not read what it is sent keeps nobody waiting."""

from __future__ import annotations

import os
import socket
import threading

from ipexlaunch.launch.job import Worker
from ipexlaunch.launch.supervise.worker_process import WorkerProcess, send, send_more
from ipexlaunch.plan import Instance


def a_child() -> tuple[WorkerProcess, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    instance = Instance(index=0, cpus=frozenset(), nodes=frozenset(), threads=1)
    return WorkerProcess(worker=Worker(instance=instance, argv=(), environment={}), channel=ours), theirs


def test_what_is_not_taken_is_kept_and_arrives_whole_and_in_order() -> None:
    child, theirs = a_child()
    lines = [os.urandom(50_000).hex().encode() + b"\n" for _ in range(40)]
    for line in lines:
        send(child, line)  # would block here for ever
    assert child.unsent
    received = bytearray()

    def read() -> None:
        while len(received) < sum(map(len, lines)):
            received.extend(theirs.recv(1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    while child.unsent:
        send_more(child)
    reader.join()
    assert bytes(received) == b"".join(lines)
    theirs.close()
    assert child.channel is not None
    child.channel.close()


def test_a_worker_that_is_gone_takes_nothing_and_that_is_no_error() -> None:
    child, theirs = a_child()
    theirs.close()
    send(child, b"x" * 1_000_000)
    assert not child.unsent
    assert child.channel is not None
    child.channel.close()
