"""Wait for descriptors: take what workers print and say, and show it; never wait for one of them."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Sequence

from ipexlaunch.launch.background_writer import LAST_WORDS_S
from ipexlaunch.launch.guard_streams import is_standard, outlets
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.counts_in_output import PrintedLines
from ipexlaunch.launch.supervise.log_files import Log
from ipexlaunch.launch.supervise.message_protocol import (
    LONGEST_MESSAGE_BYTES,
    WorkerMessage,
    read_messages,
)
from ipexlaunch.launch.supervise.output_stream import Stream
from ipexlaunch.launch.supervise.worker_process import WorkerProcess

READ_BYTES = 1 << 16

LARGEST_PIPE_BYTES = 1 << 20
"""What a pipe can hold (pipe-max-size in proc(5)); a new one holds 64 KiB."""

LONGEST_WAIT_S = 86400.0
"""Waking up once a day costs nothing; epoll_wait(2) takes no more than 2**31 milliseconds."""


class OutputReader:
    """Every descriptor of a run behind one selector; the data of a key is the function that deals with it."""

    def __init__(
        self,
        outputs: tuple[int, int],
        heard: Callable[[int, WorkerMessage, float], None],
        clock: Callable[[], float],
        longest_message_bytes: int | None = None,
    ) -> None:
        """Begin with no worker.

        Args:
            outputs: descriptors that the workers' stdout and stderr are shown on.
            heard: called with a worker's index, what it announced, and when.
            clock: seconds, monotonic.
            longest_message_bytes: where a line may be longer than usual.
        """
        self._longest = longest_message_bytes
        self.selector = selectors.DefaultSelector()
        self.outlets = outlets(*outputs)
        for outlet in self.outlets:
            outlet.thread.start()  # now, while this thread is not yet held to the cpus of a worker
        self._heard = heard
        self._clock = clock

    def listen(
        self,
        index: int,
        child: WorkerProcess,
        prefix: bytes,
        logs: Sequence[Log],
        stamp: Callable[[], bytes] | None = None,
    ) -> None:
        """Listen to a worker that has been started, or to a process that has no channel.

        Args:
            index: its place among the children.
            child: gets its streams.
            prefix: stands before each of its lines.
            logs: keep its output.
            stamp: makes the time that stands before the prefix; None for no time.
        """
        if child.process is None:
            return
        for pipe, outlet in zip((child.process.stdout, child.process.stderr), self.outlets, strict=True):
            taps = [PrintedLines(taker) for taker in (child.printed, child.awaited) if taker is not None]
            child.streams[pipe.fileno()] = Stream(prefix, outlet, logs, child, stamp, taps)
            self.selector.register(pipe, selectors.EVENT_READ, lambda fd: self._take_output(child, fd))
        if child.channel is not None:
            self.selector.register(child.channel, selectors.EVENT_READ, lambda _: self._serve(index, child))

    def send(self, index: int, child: WorkerProcess, line: bytes) -> None:
        """Send a command without waiting for the worker to take it."""
        children.send(child, line)
        self._select_channel(index, child)

    def wait(self, timeout_s: float | None) -> None:
        """Wait until something happens or the time is over, and deal with what happened."""
        for key, _ in self.selector.select(None if timeout_s is None else min(timeout_s, LONGEST_WAIT_S)):
            key.data(key.fd)

    def drain(self, index: int, child: WorkerProcess) -> None:
        """Take the last words of a worker that has exited, as far as they are there.

        A grandchild may still hold its pipes, so the end of the stream is not waited for.
        """
        if child.channel is not None:
            while _readable(child.channel.fileno()):
                self._take_messages(index, child)
                if child.channel is None:
                    break
        self.take_printed(child)

    def take_printed(self, child: WorkerProcess) -> None:
        """Take what a worker has printed so far; who goes on printing all the time is not waited for."""
        for descriptor in list(child.streams):
            for _ in range(0, LARGEST_PIPE_BYTES, READ_BYTES):
                if descriptor in child.streams and _readable(descriptor):
                    self._take_output(child, descriptor)

    def forget(self, child: WorkerProcess) -> None:
        """Stop listening to a worker and show its last line; its descriptors may be closed now."""
        for descriptor in list(child.streams):
            child.streams.pop(descriptor).end()
            self.selector.unregister(descriptor)
        if child.channel is not None:
            self.selector.unregister(child.channel)

    def close(self) -> None:
        """Close the selector; outputs that are not the launcher's own are given time to take what is left."""
        self.selector.close()
        for outlet in self.outlets:
            if not is_standard(outlet):
                outlet.wait(LAST_WORDS_S)

    def _take_output(self, child: WorkerProcess, descriptor: int) -> None:
        if descriptor not in child.streams:
            return  # drained to its end earlier in the same round
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            child.streams[descriptor].add(data)
        else:
            child.streams.pop(descriptor).end()
            self.selector.unregister(descriptor)

    def _select_channel(self, index: int, child: WorkerProcess) -> None:
        """Wait until a channel takes more only while there is something for it."""
        if child.channel is not None:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if child.unsent else 0)
            if self.selector.get_key(child.channel).events != events:
                self.selector.modify(child.channel, events, lambda _: self._serve(index, child))

    def _serve(self, index: int, child: WorkerProcess) -> None:
        if child.unsent:
            children.send_more(child)
            self._select_channel(index, child)
        self._take_messages(index, child)

    def _take_messages(self, index: int, child: WorkerProcess) -> None:
        if child.channel is None:
            return
        data = children.receive(child.channel, READ_BYTES)
        if data is None:
            return
        if not data:
            self.selector.unregister(child.channel)
            child.channel.close()
            child.channel = None
            return

        child.buffer += data
        longest = self._longest or LONGEST_MESSAGE_BYTES
        if b"\n" not in data and len(child.buffer) <= longest:
            return  # looked at once it is whole: a line of 256 MB comes in thousands of pieces
        now = self._clock()
        fed = self._longest is not None  # only a feeder asks for longer ones
        for said in read_messages(child.buffer, child.arrived, child.told, now, longest, fed=fed):
            self._heard(index, said, now)


def _readable(descriptor: int) -> bool:
    with selectors.PollSelector() as poller:
        poller.register(descriptor, selectors.EVENT_READ)
        return bool(poller.select(0))
