"""`python -m ipexlaunch` and the `ipexlaunch` script."""

import os
import sys
from _signal import (  # type: ignore[import-not-found]  # without the milliseconds that `signal` takes to import
    SIG_IGN,
    SIGHUP,
    SIGINT,
    default_int_handler,
    getsignal,
    signal,
)

INTERRUPTED = 128 + SIGINT


def main() -> None:
    """Leave with the exit code of the command line."""
    if getsignal(SIGINT) is default_int_handler:
        signal(SIGINT, _quit)
    import gc

    # Nothing that start-up allocates is garbage; looking for it would cost a twentieth of the start.
    gc.disable()
    from ipexlaunch.launch.guard_streams import open_closed_descriptors, say_unshown, take_over, wait_until_shown

    open_closed_descriptors()
    take_over()
    from ipexlaunch.cli.commands import EXIT_UNSHOWN
    from ipexlaunch.cli.main import main as run

    code = run()
    problems = wait_until_shown()
    if problems:
        say_unshown(problems)
    for number in (SIGINT, SIGHUP):  # the interpreter's own end is no place to be interrupted
        signal(number, SIG_IGN)
    sys.exit(code or (EXIT_UNSHOWN if problems else 0))


def _quit(_number: int, _frame: object) -> None:
    """End at once: outside of a run, which takes the signal itself, nothing has to be put away."""
    try:
        os.write(2, b"ipexlaunch: interrupted\n")
    finally:
        os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
