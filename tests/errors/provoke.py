"""Provokes errors as a user would, and tells the line that was printed and the places of the source that built it."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import shlex
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TypeVar

import click

from ipexlaunch import errors
from ipexlaunch.cli.main import main
from ipexlaunch.cli.terminal import spoken
from tests.errors.find_sites import PACKAGE, Site

Given = TypeVar("Given")

CALLERS = 3
"""How many calls up an error is known to be built for somebody."""


@dataclass(frozen=True)
class Row:
    """A way to an error: a command as it is typed after `ipexlaunch`, or a call where no command gets there."""

    does: str | Callable[[], object]
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    """What lies in the current directory: texts by path, None is a directory."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the environment; an empty one is taken away."""
    before: Callable[[], object] | None = None
    """What is done to the files first."""
    stdin: bytes | None = None
    name: str = ""
    """Of a call, in the table."""

    def __str__(self) -> str:
        if isinstance(self.does, str):
            return f"ipexlaunch {self.does}"
        return self.name or getattr(self.does, "__qualname__", "call")


@dataclass(frozen=True)
class Built:
    """An error that was built on the way."""

    places: tuple[tuple[str, int], ...]
    """Module and line of the package: who built it, who called that, ..."""
    error: BaseException

    def sites(self, sites: Sequence[Site]) -> set[Site]:
        """Those of the places that are asked for."""
        found = set()
        for path, line in self.places:
            at = [site for site in sites if site.path == path and site.first_line <= line <= site.last_line]
            if at:
                found.add(min(at, key=lambda site: site.last_line - site.first_line))
        return found

    def is_said_by(self, line: str) -> bool:
        """Whether a line says what it says; a later error may have put its own words around."""
        if isinstance(self.error, errors.IpexLaunchError):
            return spoken(self.error.available) in line
        assert isinstance(self.error, click.ClickException)
        text = str(self.error.message) if self.error.message else self.error.format_message()
        return " ".join(text.split()) in line


@dataclass(frozen=True)
class Outcome:
    """What a row led to."""

    row: Row
    code: int
    said: str
    """All that was printed on stderr."""
    built: tuple[Built, ...]

    @property
    def lines(self) -> list[str]:
        """The lines that say one of the errors."""
        return [
            line
            for line in self.said.splitlines()
            if line.startswith("ipexlaunch: ") and any(built.is_said_by(line) for built in self.built)
        ]

    def hit(self, sites: Sequence[Site]) -> set[Site]:
        """The places whose words were printed."""
        found = set()
        for line in self.lines:
            for built in self.built:
                if built.is_said_by(line):
                    found |= built.sites(sites)
        return found

    def errors_said(self) -> list[tuple[str, BaseException]]:
        """Each line with the last error whose words it has."""
        return [(line, [each.error for each in self.built if each.is_said_by(line)][-1]) for line in self.lines]


_BUILDERS = {
    each.__init__.__code__
    for each in [*vars(errors).values(), *vars(click.exceptions).values()]
    if isinstance(each, type) and issubclass(each, Exception) and hasattr(each.__init__, "__code__")
}


@contextlib.contextmanager
def watching() -> Iterator[list[Built]]:
    """Every error that is built meanwhile, with the line of the package that asked for it."""
    built: list[Built] = []

    def on_event(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or frame.f_code not in _BUILDERS:
            return
        error = frame.f_locals["self"]
        if any(each.error is error for each in built):
            return
        places: list[tuple[str, int]] = []
        caller = frame.f_back
        while caller is not None and len(places) < CALLERS:
            path = caller.f_code.co_filename
            if path.startswith(str(PACKAGE)) and caller.f_code not in _BUILDERS:
                places.append((os.path.relpath(path, PACKAGE), caller.f_lineno))
            caller = caller.f_back
        built.append(Built(tuple(places), error))

    former = sys.getprofile()
    threading.setprofile(on_event)
    sys.setprofile(on_event)
    try:
        yield built
    finally:
        sys.setprofile(former)
        threading.setprofile(None)


def provoke(row: Row, folder: Path) -> Outcome:
    """Do what a row says in a new directory, and tell what was printed.

    Args:
        row: of a table.
        folder: an empty directory.
    """
    said = io.StringIO()
    with _in(folder), _with_variables(row.variables):
        for path, content in row.files.items():
            _write(Path(path), content)
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            if row.before:
                row.before()
        with (
            _reading(row.stdin),
            watching() as built,
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            try:
                code = _typed(shlex.split(row.does)) if isinstance(row.does, str) else _called(row.does)
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
    return Outcome(row, code, said.getvalue(), tuple(built))


def limited(bytes_: int, act: Callable[[], Given]) -> Given:
    """What an act gives while no file may have more bytes: as on a disk that is full.

    Args:
        bytes_: of a file.
        act: writes one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, hard))
    try:
        return act()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _typed(words: list[str]) -> int:
    """Have the command line do it, as a process of its own would that was called so."""
    former = sys.argv, sys.orig_argv
    sys.argv = ["ipexlaunch", *words]
    sys.orig_argv = [sys.executable, "-m", "ipexlaunch", *words]
    try:
        return main(words)
    finally:
        sys.argv, sys.orig_argv = former


def _called(does: Callable[[], object]) -> int:
    """Call it, and print its error as the command line does."""
    try:
        given = does()
    except errors.IpexLaunchError as error:
        print(f"ipexlaunch: {spoken(str(error))}", file=sys.stderr)
        return error.exit_code
    except Exception:  # the boundary of a row: it fails with what it raised
        traceback.print_exc()
        return 3
    return given if isinstance(given, int) else 0


def _write(path: Path, content: str | bytes | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        path.mkdir(exist_ok=True)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def _in(folder: Path) -> Iterator[None]:
    former = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(former)


@contextlib.contextmanager
def _with_variables(variables: Mapping[str, str]) -> Iterator[None]:
    former = dict(os.environ)
    os.environ.update(variables)
    for name in [name for name, value in variables.items() if not value]:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(former)


@contextlib.contextmanager
def _reading(content: bytes | None) -> Iterator[None]:
    """Standard input is a pipe with this content."""
    if content is None:
        yield
        return
    ours, theirs = os.pipe()
    os.write(theirs, content)
    os.close(theirs)
    former, kept = os.dup(0), sys.stdin
    os.dup2(ours, 0)
    os.close(ours)
    sys.stdin = os.fdopen(0, closefd=False)
    try:
        yield
    finally:
        sys.stdin.close()
        sys.stdin = kept
        os.dup2(former, 0)
        os.close(former)
