"""Run a command, or a shell, in a throw-away guest: python -m tests.guest --shape 2s2n-smt -- numactl -H."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tests.guest.kernel import GuestMissingError
from tests.guest.machine import COMMAND_SECONDS, GuestError, run_in_guest
from tests.guest.shape import SHAPES

GUEST_FAILED = 125


def main() -> int:
    """The command's exit status; 124 where it ran out of time, 125 where the guest failed."""
    options = _options()
    if options.list:
        width = max(map(len, SHAPES))
        print("\n".join(f"{name:{width}}  {shape.about}" for name, shape in SHAPES.items()))
        return 0
    interactive = not options.command
    if interactive and not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("a shell in a guest needs a terminal; give a command after --", file=sys.stderr)
        return 2
    if interactive:
        print(f"guest: booting {options.shape}, some ten seconds; `exit` ends it", file=sys.stderr)
    signal.signal(signal.SIGTERM, _leave)  # so that the guest ends as well
    try:
        outcome = run_in_guest(
            SHAPES[options.shape],
            options.command or [os.environ.get("SHELL", "/bin/sh")],
            directory=Path.cwd(),
            writable=options.writable,
            seconds=options.timeout,
            interactive=interactive,
            watch=_forwarder(),
        )
    except (GuestError, GuestMissingError) as error:
        print(f"guest: {error}", file=sys.stderr)
        return GUEST_FAILED
    if options.verbose:
        print(
            f"guest: {outcome.accelerator}, up after {outcome.boot_seconds:.1f} s, {outcome.seconds:.1f} s in all",
            file=sys.stderr,
        )
    return outcome.status


def _leave(number: int, frame: object) -> NoReturn:
    del frame
    sys.exit(128 + number)


def _forwarder() -> Callable[[Path], None]:
    """Copies what is new in the mailbox's output files to this process's own, each time it is called."""
    shown = {"stdout": 0, "stderr": 0}
    targets = {"stdout": sys.stdout, "stderr": sys.stderr}

    def forward(mailbox: Path) -> None:
        for name, target in targets.items():
            path = mailbox / name
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(shown[name])
                new = file.read()
            shown[name] += len(new)
            target.buffer.write(new)
            target.flush()

    return forward


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.guest", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="2s2n-smt", help="the machine (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="list the shapes")
    shared = "share a directory of the host for writing; may be repeated"
    parser.add_argument("--writable", type=Path, action="append", default=[], metavar="DIR", help=shared)
    parser.add_argument("--timeout", type=float, default=COMMAND_SECONDS, metavar="SECONDS", help="boot and command")
    parser.add_argument("--verbose", action="store_true", help="say how long it took")
    parser.add_argument("command", nargs="*", help="after --; a shell where none is given")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
