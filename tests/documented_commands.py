"""The commands that the pages show, as a reader types them, and a stand-in of `ipexlaunch` that runs them at no cost.

A line of a block of code is a command where its first word is that of a program below. What starts workers is asked to
print what it would start (`--dry-run`) on a machine in a sentence. What needs a model or minutes is read and checked,
and nothing more. Everything else is run as it stands.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from ipexlaunch.cli import COMMANDS
from ipexlaunch.cli.main import ipexlaunch, main
from ipexlaunch.cli.options.checked_command import check_options

ROOT = Path(__file__).resolve().parent.parent
MACHINE = "2s 2n 28c 2t"

NOT_RUN = {
    "docker": "needs a container engine",
    "make": "CI runs the targets",
    "mpirun": "tests/several_hosts runs it in a lab",
    "node_exporter": "another project's program",
    "pip": "installs",
    "pipx": "installs",
    "python": "a program of the checkout, which its own tests run",
    "python3": "a program of the checkout, which its own tests run",
    "pytest": "the tests themselves",
    "sbatch": "tests/several_hosts runs it in a lab",
    "srun": "tests/several_hosts runs it in a lab",
    "uv": "installs",
}
"""Programs whose lines no test of the pages runs, and why."""

REFRESHED = ("README.md", "examples/README.md")
"""Pages whose commands `make outputs` runs for real; what they show is what they said then."""

PLACES = {"": "0", "K": "0", "R": "0", "N": "3"}
"""What stands where an engine, or the reader, puts a number."""

STEERS = {"status", "drain", "reload", "stop"}
"""Commands of `serve` to a service, which a page has not started."""

READ_ONLY = {"bench", "dtypes", "loadgen", "tune"}
"""Commands that need a model or minutes."""

_ASSIGNED = re.compile(r"^(?:[A-Z_]+=\S* +)+")
_REMARK = re.compile(r"\s{2,}#.*$")


@dataclass(frozen=True, slots=True)
class Shown:
    """A command of a page."""

    page: str
    line: int
    text: str

    @property
    def program(self) -> str:
        """What is called: the first word that is no variable, without its folder."""
        word = _ASSIGNED.sub("", self.text).split(" ", 1)[0]
        return "" if "=" in word else word.rpartition("/")[2]


def shown_in(page: Path) -> Iterator[Shown]:
    """Every command of a page's blocks of code, continued lines put together, remarks left out."""
    fence: str | None = None
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        if line.startswith("```"):
            fence = None if fence is not None else line[3:].strip()
            continue
        text = line.strip()
        if fence == "console" or (fence is None and text.startswith("$ ")):
            if not text.startswith("$ "):
                continue
            text = text[2:]
        elif not (fence == "sh" or (fence is None and line.startswith("    "))):
            continue
        while text.endswith("\\"):
            text = text[:-1] + next(lines)[1].strip()
        shown = Shown(str(page.relative_to(ROOT)), number, _REMARK.sub("", text))
        if shown.program in {"ipexlaunch", "zcat", *NOT_RUN} and not shown.text.startswith("ipexlaunch:"):
            yield shown


def stand_in(words: list[str]) -> int:
    """What `ipexlaunch WORDS` does here, at no cost.

    Args:
        words: after the program's name.
    """
    name, rest = (words[0], words[1:]) if words and words[0] in COMMANDS else ("run", words)
    if name == "shards" or "--across-hosts" in rest:
        return read_only(name, [PLACES.get(word, word) for word in rest])
    if name == "serve":
        return read_only(name, rest) if rest[0] in STEERS else main([name, "--topology", MACHINE, "--dry-run", *rest])
    if name in READ_ONLY or "--profile" in rest or "--replay" in rest or (name == "batch" and is_elsewhere(rest)):
        return read_only(name, rest)
    if name in ("run", "plan") and "--topology" not in rest:
        rest = ["--topology", MACHINE, *rest]
    return main([name, *(["--dry-run"] if name == "run" and "--dry-run" not in rest else []), *rest])


def is_elsewhere(words: list[str]) -> bool:
    """Whether a batch job needs a model, or goes on where a job of the page has not begun.

    Args:
        words: its options and arguments.
    """
    output = words[words.index("--output") + 1] if "--output" in words else ""
    resumes = not {"--resume", "--rebuild", "--retry-dead"}.isdisjoint(words)
    return "--model" in words or (resumes and not Path(f"{output}.ledger").exists())


def read_only(name: str, words: list[str]) -> int:
    """Have a command's words read and held against its rules; it does not begin.

    Args:
        name: of the command.
        words: its options and arguments.
    """
    program = click.Context(ipexlaunch, info_name="ipexlaunch", **ipexlaunch.context_settings)
    command = ipexlaunch.get_command(program, name)
    assert command is not None
    with command.make_context(name, list(words), parent=program) as context:
        if isinstance(command, click.Group):
            word, found, rest = command.resolve_command(context, list(words))
            assert found is not None
            found.make_context(word, rest, parent=context).close()
        else:
            check_options(context)
    return 0


if __name__ == "__main__":
    sys.exit(stand_in(sys.argv[1:]))
