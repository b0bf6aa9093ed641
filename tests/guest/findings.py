"""Findings: what the driver saw in one guest. Guests: boots the wanted shapes, each once, two at a time."""

from __future__ import annotations

import compileall
import json
import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.guest.kernel import GuestMissingError
from tests.guest.machine import CHECKOUT, Outcome, run_in_guest
from tests.guest.shape import SHAPES, Shape

GUESTS_AT_ONCE = 2
"""A guest under TCG keeps one core of the host busy and takes about 1 GiB of its memory."""


@dataclass(frozen=True)
class Findings:
    """What the driver saw in one guest."""

    name: str
    shape: Shape
    outcome: Outcome
    sections: dict[str, dict[str, Any]]

    def __getitem__(self, section: str) -> Any:
        """A section's value; the test fails with the driver's error where the section has none."""
        found = self.sections[section]
        if "error" in found:
            pytest.fail(f"in the guest {self.name}:\n{found['error']}")
        return found["value"]


def driver_environment() -> dict[str, str]:
    """All variables of a program of ours in a guest; workers that it starts find `tests` too."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(CHECKOUT),
    }


def view_of(module: str, shape: Shape, seconds: float) -> dict[str, Any]:
    """What a module of tests.guest saw in a guest of its own and printed as JSON; a skip where there are no guests.

    Args:
        module: its name, e.g. confined_view.
        shape: of the guest.
        seconds: that it may take.
    """
    command = [sys.executable, "-m", f"tests.guest.{module}"]
    try:
        outcome = run_in_guest(shape, command, environment=driver_environment(), seconds=seconds)
    except GuestMissingError as error:
        pytest.skip(f"no guests here: {error}")
    assert outcome.status == 0, outcome.stderr
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


class Guests:
    """Runs the driver in every wanted shape, from the first question on; answers come one by one."""

    def __init__(self, names: list[str]) -> None:
        """Start with the first names, most nodes first: those take longest."""
        for package in ("ipexlaunch", "tests/guest"):  # once here instead of in every guest
            compileall.compile_dir(CHECKOUT / package, quiet=2)
        names = sorted(names, key=lambda name: -len(SHAPES[name].node_sizes_mib))
        self._ending = threading.Event()
        self._pool = ThreadPoolExecutor(GUESTS_AT_ONCE, thread_name_prefix="guest")
        self._futures: dict[str, Future[Findings]] = {name: self._pool.submit(self._run, name) for name in names}

    def __getitem__(self, name: str) -> Findings:
        """The findings of one shape, waited for."""
        return self._futures[name].result()

    def times(self) -> str:
        """How long each guest took, in one line, slowest first."""
        done = [future for future in self._futures.values() if future.done() and not future.cancelled()]
        ended = [future.result() for future in done if not future.exception()]
        ended.sort(key=lambda one: -one.outcome.seconds)
        each = ", ".join(f"{one.name} {one.outcome.seconds:.0f} s" for one in ended)
        boots = max((one.outcome.boot_seconds for one in ended), default=0.0)
        return f"guests ({GUESTS_AT_ONCE} at once, up after at most {boots:.0f} s): {each}"

    def close(self) -> None:
        """End the guests that still run."""
        self._ending.set()
        self._pool.shutdown(cancel_futures=True)

    def _run(self, name: str) -> Findings:
        outcome = run_in_guest(
            SHAPES[name],
            [sys.executable, "-m", "tests.guest.driver", name],
            environment=driver_environment(),
            watch=self._watch,
        )
        try:
            sections = json.loads(outcome.stdout)
        except ValueError:
            message = f"the driver ended with {outcome.status} in {name} after {outcome.seconds:.0f} s"
            raise RuntimeError(f"{message}:\n{outcome.stdout[-1000:]}{outcome.stderr[-3000:]}") from None
        return Findings(name, SHAPES[name], outcome, sections)

    def _watch(self, mailbox: Path) -> None:
        del mailbox
        if self._ending.is_set():
            raise InterruptedError("the test session ends")
