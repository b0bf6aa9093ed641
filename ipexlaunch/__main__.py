"""`python -m ipexlaunch` and the `ipexlaunch` script."""

import os
import sys
from _signal import (  # type: ignore[import-not-found]  # without the milliseconds that `signal` takes to import
    SIG_BLOCK,
    SIG_IGN,
    SIGHUP,
    SIGINT,
    SIGUSR1,
    SIGUSR2,
    default_int_handler,
    getsignal,
    pthread_sigmask,
    signal,
)

INTERRUPTED = 128 + SIGINT


def main() -> None:
    """Leave with the exit code of the command line."""
    for number in (SIGUSR1, SIGUSR2):
        signal(number, SIG_IGN)
    pthread_sigmask(SIG_BLOCK, (SIGUSR1,))  # before there is a thread: see launch/supervise/take_signals.py
    if getsignal(SIGINT) is default_int_handler:
        signal(SIGINT, _quit)
    # Not at the top: from here on an interrupt is answered in one line.
    from ipexlaunch.cli.main import run_program

    code = run_program()
    for number in (SIGINT, SIGHUP):  # the interpreter's own end is no place to be interrupted
        signal(number, SIG_IGN)
    sys.exit(code)


def _quit(_number: int, _frame: object) -> None:
    """End at once: outside of a run, which takes the signal itself, nothing has to be put away."""
    try:
        os.write(2, b"ipexlaunch: interrupted\n")
    finally:
        os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
