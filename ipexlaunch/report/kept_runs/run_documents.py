"""What a run directory has beside plan and report: run.yaml, enough to start it again, and environment.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ipexlaunch.doctor.job_engine import JobHost
from ipexlaunch.documents.codec import read_value, to_plain
from ipexlaunch.documents.text import dump_yaml, parse_document
from ipexlaunch.launch.job import Job
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.machine.proc_files import text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommand:
    """The command of a run."""

    command: str
    """ "run", "bench", "batch" or "loadgen", as it was typed."""
    directory: str
    """Where it was typed: relative paths of the program and its arguments begin there."""
    job: Job
    """Without its module_path, which is the place of the ipexlaunch that runs it."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Those that decide what happens, to their values; those that only show or keep are not repeated."""
    written: str = ""
    """UTC, such as "2026-03-01T12:00:00Z"."""
    ipexlaunch: str = ""
    """Version."""
    host: JobHost | None = None
    """Where it was started, as a part of an engine's job where there was one; None where that is not known."""


SCHEMA = "ipexlaunch/run-directory/1"

NOT_KEPT = ("path_first", "remarks")
"""Fields of a job that are determined again when it is repeated, beside its module_path; former versions kept them."""


def write_run_command(recorded: RunCommand) -> str:
    """The command as YAML; `read_run_command` gives the same value back."""
    job = to_plain(recorded.job, sparse=True)
    kept = {name: value for name, value in job.items() if name not in NOT_KEPT}
    return dump_yaml({"schema": SCHEMA, **to_plain(recorded), "job": kept})


def read_run_command(text: str, source: str) -> RunCommand:
    """The command that the text holds.

    Args:
        text: YAML (or JSON).
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the line and the place.
    """
    return read_value(parse_document(text, source, {"run-directory": [1]}), RunCommand)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPython:
    """What the workers' interpreter is."""

    packages: Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEnvironment:
    """The keys that somebody reads; the others are for people."""

    variables: Mapping[str, str] = field(default_factory=dict)
    python: SeenPython | None = None
    workers: tuple[Mapping[str, Any], ...] = ()
    cpu_model: str | None = None
    governors: Mapping[str, int] = field(default_factory=dict)


def read_environment_text(text: str, source: str) -> Mapping[str, Any]:
    """What the environment of a kept run was.

    Args:
        text: JSON.
        source: the file's name, for messages.

    Raises:
        DocumentError: it does not follow the format; the message has the place.
    """
    document = parse_document(text, source, {"environment": [1]})
    read_value(document, SeenEnvironment, unknown="ignore")
    return document.data


FEW_LOOKS = 3
"""At each worker: before the start and at its end the worker waits; between them a look holds up page faults."""


class MappedLibraries(Observer):
    """Remembers, by process, the shared libraries of its memory map."""

    def __init__(self, proc: str = "/proc") -> None:
        """Begin with nothing seen.

        Args:
            proc: root of procfs.
        """
        self._proc = proc
        self._looks: dict[int, int] = {}
        self.by_pid: dict[int, tuple[str, ...]] = {}
        """Process id to paths, in the order of the last look."""

    def on_looked(self, pid: int, *, waits: bool) -> None:
        """Read a worker's map, one at work no more than FEW_LOOKS times; one that is gone keeps what was read before.

        Source: proc(5), /proc/PID/maps.
        """
        if not waits and self._looks.get(pid, 0) >= FEW_LOOKS:
            return
        self._looks[pid] = self._looks.get(pid, 0) + 1
        found = libraries_in(text_of(f"{self._proc}/{pid}/maps") or "")
        if found:
            self.by_pid[pid] = found


def libraries_in(maps: str) -> tuple[str, ...]:
    """The paths of shared libraries in the text of a memory map, each once.

    Args:
        maps: lines of address, permissions, offset, device, inode and path.
    """
    paths = (parts[5] for line in maps.splitlines() if len(parts := line.split(maxsplit=5)) == 6)
    return tuple(dict.fromkeys(path for path in paths if path.startswith("/") and _is_library(path)))


def _is_library(path: str) -> bool:
    name = path.removesuffix(" (deleted)").rpartition("/")[2]
    return name.endswith(".so") or ".so." in name
