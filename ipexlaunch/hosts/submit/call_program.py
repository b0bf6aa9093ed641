"""Calls the programs of engines, and our own one after another where there is no engine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from types import FrameType

from ipexlaunch.errors import LaunchError

HANDED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Signals that are for whoever works; SIGINT of a terminal comes to all by itself."""


def answer_of(words: Sequence[str], text: str, wanted: str, hint: str) -> str:
    """What a program says that is given a text.

    Args:
        words: the program and its arguments.
        text: its standard input.
        wanted: for messages, such as "submit 6 shards to slurm".
        hint: what would work where the program is missing.

    Raises:
        LaunchError: it is not here, or it refuses.
    """
    if shutil.which(words[0]) is None:
        raise LaunchError(wanted, f"{words[0]} is not on PATH here", hint)
    done = subprocess.run(words, input=text, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        said = "; ".join(filter(None, map(str.strip, (done.stderr or done.stdout).splitlines()))) or "without a word"
        raise LaunchError(wanted, f"{words[0]} ended with {done.returncode}: {said}", "put that right and submit again")
    return done.stdout.strip()


def codes_one_by_one(commands: Iterator[Sequence[str]]) -> Iterator[int]:
    """Run commands one after another, each to its end; their exit codes, 128 + N for signal N.

    A signal that asks to end is handed on, and no further command is begun then.

    Args:
        commands: words of each.
    """
    heard: list[int] = []
    running: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        del frame
        heard.append(number)
        for process in running:
            process.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (*HANDED_ON, signal.SIGINT)}
    # Every command of ours begins with SIGUSR1 blocked; so do those that are begun here, where it would kill them.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        for words in commands:
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR1,))
            process = subprocess.Popen(words)
            running[:] = [process]
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGUSR1,))
            code = process.wait()
            running.clear()
            yield 128 - code if code < 0 else code
            if heard:
                return
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)


def become(words: Sequence[str]) -> None:
    """Go on as another program.

    Args:
        words: its whole path and its arguments.
    """
    os.execv(words[0], list(words))
