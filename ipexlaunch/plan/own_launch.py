"""What an engine is to start where ipexlaunch itself runs the plan: its command line, whatever the plan was made from.

The request in the words of the options that make it again, so that each host plans for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from ipexlaunch.errors import RequestError
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.plan import FIRST_PORT, Request

SERVE = "serve"

COMMANDS = ("run", "bench", "batch", "loadgen", "tune", SERVE)
"""What may stand before the options; a program alone is for `run`."""

ON_SEVERAL_HOSTS = ("run", "bench")

_NAMES = {"groups": "group", "memory_per_instance_bytes": "memory-per-instance"}
"""Fields of a request whose options are not named like them."""


def request_words(request: Request) -> tuple[str, ...]:
    """The options that ask for the same.

    Args:
        request: any.
    """
    words: list[str] = []
    for each in fields(request):
        value, option = getattr(request, each.name), f"--{_NAMES.get(each.name, each.name).replace('_', '-')}"
        if value == each.default:
            continue
        if value is True:
            words.append(option)
        else:
            unit = "B" if each.name.endswith("_bytes") else ""
            # With "=", because a list may begin with a hyphen.
            words += [f"{option}={one}{unit}" for one in (value if isinstance(value, tuple) else (value,))]
    return tuple(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLaunch:
    """One launch on each host of a job."""

    launcher: tuple[str, ...] = ("ipexlaunch",)
    """Starts ipexlaunch."""
    options: tuple[str, ...] = ()
    """Say what the instances are."""
    program: tuple[str, ...] = ()
    """A command of COMMANDS with its own options, or what `run` takes: a script with its arguments, options before
    it, or any executable.
    """
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the workers."""
    first_port: int = FIRST_PORT
    hosts: int = 1
    cpus: int = 1
    """Of all cores that the instances of one host have, every sibling."""

    @property
    def command(self) -> str:
        """The command of ipexlaunch."""
        return self.program[0] if self.program[:1] and self.program[0] in COMMANDS else "run"

    @property
    def may_be_repeated(self) -> bool:
        """Whether a second start goes on where the first one stopped."""
        return self.command == "batch" and "--resume" in self.program

    @property
    def option_words(self) -> tuple[str, ...]:
        """What stands between the command and the program."""
        variables = [f"--env={name}={text}" for name, text in self.variables.items()]
        port = [f"--port={self.first_port}"] if self.first_port != FIRST_PORT else []
        return (*self.options, *variables, *port)

    @property
    def program_words(self) -> tuple[str, ...]:
        """What stands behind the options."""
        rest = self.program[1:] if self.program[:1] == (self.command,) else self.program
        takes_any = self.command in ("run", SERVE)
        return ("--no-python", *rest) if takes_any and rest and is_executable(rest[0]) else rest

    def check(self) -> None:
        """Refuse a command on more hosts than it can have.

        Raises:
            RequestError: it is one for a single host.
        """
        if self.hosts > 1 and self.command not in ON_SEVERAL_HOSTS:
            wanted = f"export {self.command} for {counted(self.hosts, 'host')}"
            cut = "cut the input: ipexlaunch shards make, then ipexlaunch shards submit"
            raise RequestError(wanted, "it works on one host", cut if self.command == "batch" else "leave out --hosts")


def is_executable(word: str) -> bool:
    """Whether the first word behind the options is no script of Python, as far as its name tells, and no option."""
    return not word.startswith("-") and not word.endswith(".py")
