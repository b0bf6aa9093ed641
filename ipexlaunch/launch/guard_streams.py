"""The launcher's standard streams, such that no failure of theirs ends a run, is a traceback or goes unsaid.

`take_over` is called once, by the program itself. Everything that prints goes on using sys.stdout and sys.stderr.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from typing import TextIO

from ipexlaunch.launch.background_writer import LAST_WORDS_S, Outlet, outlets_of

STDOUT, STDERR = 1, 2

NAMES = {STDOUT: "standard output", STDERR: "standard error"}

SECOND_S = 0.5
"""How long the second stream may take nothing where the first has failed."""

closed_at_start: set[int] = set()
"""Descriptors 0 to 2 that the process began without: whoever closed them wanted silence."""


def open_closed_descriptors() -> None:
    """Open those of 0 to 2 that are closed on /dev/null, or the next files that are opened would take their numbers."""
    with contextlib.suppress(OSError):  # a root without /dev/null: nothing better can be done
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
            os.set_inheritable(descriptor, True)
            closed_at_start.add(descriptor)
        os.close(descriptor)


class _Shown(io.BufferedIOBase):
    """The bytes behind a standard stream."""

    def __init__(self, outlet: Outlet, *, document: bool) -> None:
        super().__init__()
        self.outlet = outlet
        self.used = False
        self._document = document

    def write(self, data: bytes) -> int:  # type: ignore[override]  # text streams give bytes
        self.used = True
        self.outlet.add(bytes(data), whole=self._document)
        return len(data)

    def flush(self) -> None:
        """Of a document: wait until it is taken, as every program does that prints one."""
        if self._document and self.used and not sys.is_finalizing():  # its thread is gone then, maybe with the lock
            self.outlet.wait(None)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.outlet.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.outlet.descriptor)


def take_over() -> None:
    """Put streams in the place of sys.stdout and sys.stderr that write through an `Outlet` each."""
    codecs.register_error("ipexlaunch", _as_it_came)
    out, err = outlets_of(STDOUT, STDERR)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # lasts as long as the process
    sys.stdout = _text(sys.stdout, out, "ipexlaunch", document=True)
    sys.stderr = _text(sys.stderr, err, "backslashreplace", document=False)


def _text(before: TextIO | None, outlet: Outlet, errors: str, *, document: bool) -> TextIO:
    encoding = (before.encoding if before is not None else None) or "utf-8"
    shown = _Shown(outlet, document=document)
    return io.TextIOWrapper(shown, encoding=encoding, errors=errors, newline="\n", write_through=True)  # type: ignore[type-var]


def _as_it_came(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes of names and arguments that are no text go out as they came; what the encoding lacks is escaped."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def outlets(first: int, second: int) -> tuple[Outlet, Outlet]:
    """The outlets of two descriptors: those of the standard streams where they are these, else new ones."""
    ours = {outlet.descriptor: outlet for stream in (sys.stdout, sys.stderr) if (outlet := _outlet(stream)) is not None}
    if first in ours and second in ours:
        return ours[first], ours[second]
    new = outlets_of(first, second)
    return ours.get(first, new[0]), ours.get(second, new[1])


def is_standard(outlet: Outlet) -> bool:
    """Whether it is that of a standard stream, which is waited for when everything else is over."""
    return any(_outlet(stream) is outlet for stream in (sys.stdout, sys.stderr))


def outlet_of(stream: TextIO) -> Outlet:
    """What shows a stream: its own outlet, or a new one for its descriptor."""
    return _outlet(stream) or Outlet(stream.fileno())


def text_for(outlet: Outlet, like: TextIO) -> TextIO:
    """A text stream on an outlet that nobody ever waits for.

    Args:
        outlet: takes what is written.
        like: the stream whose encoding it has.
    """
    return _text(like, outlet, "backslashreplace", document=False)


def _outlet(stream: TextIO | None) -> Outlet | None:
    buffer = getattr(stream, "buffer", None)
    return buffer.outlet if isinstance(buffer, _Shown) else None


def failed(stream: TextIO) -> bool:
    """Whether a stream could not show something."""
    outlet = _outlet(stream)
    return outlet is not None and bool(outlet.problem)


def wait_until_shown() -> list[str]:
    """Give the standard streams time to take what is left; what could not be shown, each as a sentence.

    A document on standard output is waited for as long as it takes, everything else for LAST_WORDS_S.
    """
    problems = []
    patience_s = LAST_WORDS_S
    for stream in (sys.stdout, sys.stderr):
        outlet = _outlet(stream)
        if outlet is None:
            continue
        stream.flush()
        outlet.wait(patience_s)
        if outlet.problem:
            patience_s = min(patience_s, SECOND_S)  # the same terminal, most likely
        if outlet.problem:
            problems.append(f"{NAMES[outlet.descriptor]} could not be shown: {outlet.problem}")
    return problems


_said: set[str] = set()

READER_GONE = os.strerror(errno.EPIPE)
"""How the problem of a pipe ends that nobody reads any more: `ipexlaunch --help | head` has what it wanted."""


def say_unshown(problems: list[str]) -> None:
    """Say what could not be shown, once, where something still can be: standard output only where it is not a document.

    Args:
        problems: of `wait_until_shown`.
    """
    new = [problem for problem in problems if problem not in _said]
    _said.update(new)
    free = not failed(sys.stdout) and not getattr(getattr(sys.stdout, "buffer", None), "used", True)
    where = sys.stderr if not failed(sys.stderr) else sys.stdout if free else None
    if new and where is not None:
        for problem in new:
            print(f"ipexlaunch: {problem}", file=where, flush=True)
        wait_until_shown()
