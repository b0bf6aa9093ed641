"""Commands with names and arguments of random bytes, each the whole way: run, look at what was kept, run again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SCRIPT = b"""\
import os, sys
from ipexlaunch import worker
worker.ready()
with open(os.environb[b"SEEN"], "ab") as file:
    file.write(repr([os.fsencode(word) for word in sys.argv] + [os.environb[b"ODD"]]).encode() + b"\\n")
print(os.fsencode(sys.argv[-1]))
worker.count(items=1)
worker.finish()
"""

PROGRAM = b"""\
from ipexlaunch import worker
for batch in worker.batches():
    batch.done([str(item) for item in batch.items])
"""


@dataclass
class Tally:
    """What came of the rounds."""

    runs: int = 0
    wrong: list[str] = field(default_factory=list)


def odd_name(random_: random.Random) -> bytes:
    """One to twelve bytes that a name may have: no NUL, no slash, and not one of the names "." and ".."."""
    kinds = (
        lambda: bytes(random_.choice([b for b in range(1, 256) if b != 0x2F]) for _ in range(random_.randint(1, 12))),
        lambda: random_.choice(
            (
                b"\xff",
                b"a b",
                b"\xed\xb3\xbf",
                b"\n",
                b"\x1b[31m",
                b"{index}",
                b"-",
                b"--",
                b"'",
                b'"',
                b"$x",
                b"%s",
                b"~",
            )
        ),
        lambda: "ä日😀\u202e".encode()[: random_.randint(1, 9)],
    )
    name: bytes = random_.choice(kinds)()
    return b"x" + name if name in (b".", b"..", b"-") or name[:1] in b"-~" else name


class Rounds:
    """Runs commands in a directory and keeps what went wrong."""

    def __init__(self, directory: Path, command: Sequence[str], seed: int) -> None:
        """Begin.

        Args:
            directory: an empty one.
            command: how ipexlaunch is started.
            seed: of the names.
        """
        self.directory = os.fsencode(directory)
        self.command = [os.fsencode(word) for word in command]
        self.random = random.Random(seed)
        self.tally = Tally()

    def start(
        self, *words: bytes, codes: tuple[int, ...] = (0,), environment: dict[bytes, bytes] | None = None
    ) -> bytes:
        """One command; its stdout. Another code, a traceback, or an error of several lines is wrong."""
        self.tally.runs += 1
        variables = {**os.environb, b"LC_ALL": self.random.choice((b"C.UTF-8", b"C", b"")), **(environment or {})}
        done = subprocess.run(
            [*self.command, *words], cwd=self.directory, env=variables, stdin=subprocess.DEVNULL, capture_output=True
        )
        said = done.stderr + done.stdout
        if done.returncode not in codes or b"Traceback" in said or b"bug in ipexlaunch" in said:
            self.tally.wrong.append(f"{words!r} ended with {done.returncode}:\n{said[-3000:].decode(errors='replace')}")
        return done.stdout

    def one_round(self, number: int) -> None:
        """A program with odd names, run, kept, shown, drawn and repeated."""
        place = b"%d-%s" % (number, odd_name(self.random))
        os.mkdir(os.path.join(self.directory, place))
        script = os.path.join(place, odd_name(self.random) + b".py")
        with open(os.path.join(self.directory, script), "wb") as file:
            file.write(SCRIPT)
        seen = os.path.join(self.directory, place, b"seen")
        argument, value = odd_name(self.random), odd_name(self.random)
        expanded = argument.replace(b"{index}", b"0"), value.replace(b"{index}", b"0")
        kept, report = (
            os.path.join(place, odd_name(self.random) + b"-run"),
            os.path.join(place, b"r" + odd_name(self.random)),
        )
        page, made = os.path.join(place, odd_name(self.random) + b".html"), {b"SEEN": seen}
        words = [script, b"fixed", argument]
        options = [b"--ninstances", b"1", b"--env", b"ODD=" + value]
        before = self.tally.runs
        self.start(b"run", *options, b"--run-dir", kept, b"--report", report, *words, environment=made)
        self.start(b"report", kept)
        self.start(b"report", report, kept, b"--html", page)
        self.start(b"run", b"--replay", kept, b"--report", report, environment=made)
        self.start(b"run", *options, b"--dry-run", *words)
        kind = self.random.choice((b"numactl", b"slurm", b"systemd", b"docker", b"kubernetes"))
        self.start(b"plan", b"--ninstances", b"1", b"--export", kind, *words, codes=(0, 2))
        self.plan_and_batch(place)
        wanted = repr([script, b"fixed", expanded[0], expanded[1]]).encode()
        lines = self.content(os.path.join(place, b"seen")).splitlines()
        if lines != [wanted, wanted] and not self.tally.wrong:
            self.tally.wrong.append(f"round {number} ({before} runs): {lines!r}, wanted twice {wanted!r}")

    def plan_and_batch(self, place: bytes) -> None:
        """Documents and items in files with odd names."""
        plan, machine = (os.path.join(place, b"%s%s.yaml" % (word, odd_name(self.random))) for word in (b"p", b"m"))
        for path, words in (
            (plan, (b"plan", b"--ninstances", b"1", b"--format", b"yaml")),
            (machine, (b"topology", b"--format", b"yaml")),
        ):
            with open(os.path.join(self.directory, path), "wb") as file:
                file.write(self.start(*words))
        self.start(b"run", b"--plan", plan, b"--no-python", b"true", odd_name(self.random))
        self.start(b"topology", b"--topology", machine)
        program, items = (
            os.path.join(place, b"b" + odd_name(self.random) + b".py"),
            os.path.join(place, b"i" + odd_name(self.random) + b".txt"),
        )
        for path, content in ((program, PROGRAM), (items, b"one\ntwo\n")):
            with open(os.path.join(self.directory, path), "wb") as file:
                file.write(content)
        output = os.path.join(place, b"o" + odd_name(self.random) + b".jsonl")
        batch = (b"batch", b"--ninstances", b"1", b"--input", items, b"--output", output)
        self.start(*batch, program)
        self.start(*batch, b"--resume", program)
        if len(self.content(output).splitlines()) != 2:
            self.tally.wrong.append(f"{output!r} has not 2 rows")

    def content(self, path: bytes) -> bytes:
        """Of a file that a command should have written; empty where it did not."""
        full = os.path.join(self.directory, path)
        if not os.path.exists(full):
            return b""
        with open(full, "rb") as file:
            return file.read()


def campaign(
    directory: Path, runs: int, seed: int, command: Sequence[str] = (sys.executable, "-m", "ipexlaunch")
) -> Tally:
    """Rounds until so many commands have been run.

    Args:
        directory: an empty one.
        runs: commands, at least.
        seed: of the names.
        command: how ipexlaunch is started.
    """
    rounds, number = Rounds(directory, command, seed), 0
    while rounds.tally.runs < runs:
        rounds.one_round(number)
        number += 1
    return rounds.tally
