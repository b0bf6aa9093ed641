"""Signals do what they do at a terminal, for tests and campaigns that send them, however these were started."""

from __future__ import annotations

import signal
from types import FrameType


def take_usual_signals() -> None:
    """No signal is ignored or blocked here or in what is started from here, however this process was started."""
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # Python itself ignores those
        if signal.getsignal(number) is signal.SIG_IGN:
            # As under nohup. A handler and not the default: it keeps what started the tests out of them all the same,
            # but programs that tests start begin with the default.
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _unheard)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _unheard(number: int, frame: FrameType | None) -> None:
    del number, frame
