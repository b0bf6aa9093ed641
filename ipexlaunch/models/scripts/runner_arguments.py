"""Script options: what is done to an unchanged script, as words between the launcher and models/run_script.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

DEFAULT_WARMUP_CALLS = 1

IPEX_DTYPES = ("fp32", "bf16", "fp16")
"""Those that --auto-ipex converts to: integers need a calibration or a group size, which a script cannot tell."""


class ScriptOptions(NamedTuple):
    """How a script is run that knows nothing of ipexlaunch.

    No dataclass, whose module takes longer to load than everything else here: it is loaded before every such script.
    """

    count_calls: bool = False
    """Count the outermost calls of its model, with their latencies."""
    warmup_calls: int = DEFAULT_WARMUP_CALLS
    """Calls of a model before the common start; they are not counted."""
    start_after_warmup: bool = False
    """The common start comes at the end of the last warm-up call, not before the call after it."""
    auto_ipex: bool = False
    """Have IPEX optimise its models at their first calls."""
    dtype: str = "fp32"
    """One of IPEX_DTYPES."""
    graph: bool = True
    """Let IPEX work on recorded graphs where that is possible."""
    verbose: bool = False
    """Profile one call of what IPEX made."""

    @property
    def asked(self) -> bool:
        """Whether anything is done to the script at all; else it is started by itself."""
        return self.count_calls or self.auto_ipex

    def words(self) -> tuple[str, ...]:
        """Arguments of models/run_script.py, before those of the program; `parse_command` reads them back."""
        words: list[str] = []
        if self.count_calls:
            words += ["--count-calls", "--warmup-calls", str(self.warmup_calls)]
            words += ["--start-after-warm-up"] * self.start_after_warmup
        if self.auto_ipex:
            words += ["--auto-ipex", "--dtype", self.dtype]
            words += ["--disable-ipex-graph-mode"] * (not self.graph) + ["--auto-ipex-verbose"] * self.verbose
        return tuple(words)


class ScriptCommand(NamedTuple):
    """A program as `python` takes it: a path or, with -m, a module, and its arguments."""

    options: ScriptOptions
    program: str
    is_module: bool
    arguments: tuple[str, ...]


def parse_command(words: Sequence[str]) -> ScriptCommand:
    """What the words of a worker's command line mean.

    Args:
        words: options, then -m where the program is a module, the program, its arguments.

    Raises:
        ValueError: they do not come from `ScriptOptions.words` and a program.
    """
    rest = list(words)
    options, is_module = ScriptOptions(), False
    while rest and rest[0].startswith("-") and not is_module:
        word = rest.pop(0)
        if word == "-m":
            is_module = True
        elif word == "--count-calls":
            options = options._replace(count_calls=True)
        elif word == "--warmup-calls" and rest and rest[0].isdecimal():
            options = options._replace(warmup_calls=int(rest.pop(0)))
        elif word == "--start-after-warm-up":
            options = options._replace(start_after_warmup=True)
        elif word == "--auto-ipex":
            options = options._replace(auto_ipex=True)
        elif word == "--dtype" and rest and rest[0] in IPEX_DTYPES:
            options = options._replace(dtype=rest.pop(0))
        elif word == "--disable-ipex-graph-mode":
            options = options._replace(graph=False)
        elif word == "--auto-ipex-verbose":
            options = options._replace(verbose=True)
        else:
            raise ValueError(f"{word!r} is no option of a script's run")
    if not rest:
        raise ValueError("no program is named")
    return ScriptCommand(options=options, program=rest[0], is_module=is_module, arguments=tuple(rest[1:]))
