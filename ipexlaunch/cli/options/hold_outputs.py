"""What a command writes can be written, and is its own while it lasts: whoever else would write there is refused."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ipexlaunch.cli.options.check_files import WrittenFile, written_beside_output, written_files
from ipexlaunch.cli.options.option_table import BESIDE_OUTPUT, WRITES
from ipexlaunch.documents.write_file import check_directory, check_writable, is_stream
from ipexlaunch.errors import HeldError, LaunchError
from ipexlaunch.launch.hold_place import hold_place
from ipexlaunch.launch.supervise.take_signals import ENDING
from ipexlaunch.launch.wait_for_disk import let_go
from ipexlaunch.report.kept_runs.run_directory import HOLD, LOGS, RUN_FILES, check_holds_no_run
from ipexlaunch.report.live.metrics import check_name, require_client

if TYPE_CHECKING:
    from types import FrameType

HELD_OTHERWISE = frozenset({"cache_dir", "run_dir"})
"""What is for all, held by what makes it."""

HELD = ".ipexlaunch-held"
"""Says, in a directory, whose it is."""

LONGEST_NAME = 230
"""Bytes of a file's name that its hold is named after; with what `hold_place` appends that is within NAME_MAX."""

WAIT = "wait for it, or write elsewhere"

ROUNDS = 5
"""So often another launch that gives up may take away the directory that it has made."""


def check_outputs(options: Mapping[str, Any]) -> None:
    """Find out before any work that something that the options name cannot be written; nothing is made.

    Args:
        options: the command's keyword arguments.

    Raises:
        IpexLaunchError: it cannot, or metrics cannot be served.
    """
    for each in written_files(options):
        if each.kind == "folder":
            if not (each.what == WRITES["cache_dir"] and os.path.isdir(each.path)):  # others' may be for reading only
                check_directory(each.path, each.what)
        elif each.kind != "beside":
            check_writable(each.path, each.what, regular=each.kind == "file")
        elif os.path.exists(each.path) and not stat.S_ISREG(os.stat(each.path).st_mode):
            raise LaunchError(f"write {each.what} to {each.path}", "it is no regular file", "give another path")
    if options.get("run_dir") and not options.get("across_hosts"):  # else the first host asks for all
        check_holds_no_run(options["run_dir"])
    if options.get("metrics_file") is not None or options.get("metrics_port") is not None:
        require_client()
        if options["metrics_file"] is not None:
            check_name(options["metrics_file"])
        if options["metrics_port"]:
            _check_port(options["metrics_address"], options["metrics_port"])


def outputs_of(options: Mapping[str, Any]) -> list[WrittenFile]:
    """What a command holds while it lasts, as far as its options name it.

    Args:
        options: the command's keyword arguments.
    """
    named = written_files({name: value for name, value in options.items() if name not in HELD_OTHERWISE})
    run = os.path.join(os.path.realpath(options["run_dir"]), "") if options.get("run_dir") else None
    return [
        each
        for each in named
        if each.kind == "folder" or (each.kind in ("file", "any") and not is_stream(each.path))
        if run is None or not _place_of(each).startswith(run)  # a run's directory is held with all that is in it
    ]


def refuse_taken(options: Mapping[str, Any]) -> None:
    """Refuse to write what another launch writes under another heading: a report over a running job's results.

    Args:
        options: the command's keyword arguments.

    Raises:
        HeldError: another launch that lives has it as its output, beside its output, or in its run directory.
    """
    own = options.get("output_file") or "-"
    results = {each.path for each in written_beside_output(own)}
    for each in written_files(options):
        if each.kind != "folder" and is_stream(each.path):
            continue
        folder, name = os.path.split(os.path.realpath(each.path))
        if (name == LOGS) if each.kind == "folder" else (name in RUN_FILES):
            _refuse_held(os.path.join(folder, HOLD), each)
        if each.kind != "folder":
            _refuse_held(_place_of(each), each, _is_taken_over(each, options))
            _refuse_results(each, os.path.realpath(own) if each.path in results else "")


def _is_taken_over(each: WrittenFile, options: Mapping[str, Any]) -> bool | None:
    """Whether --take-over is given, where it is about this one."""
    return options.get("take_over") if each.what == WRITES["output_file"] else None


def _refuse_held(place: str, each: WrittenFile, take_over: bool | None = None) -> None:
    if os.path.lexists(place):
        with contextlib.suppress(OSError):  # what cannot be written is said elsewhere
            hold_place(place, f"write {each.what} to {each.path}", WAIT, take_over=take_over).release()


def _refuse_results(each: WrittenFile, own: str) -> None:
    """Those of a job are held by its ledger; those of this command when it opens its own."""
    path = os.path.realpath(each.path)
    for end in ("", *BESIDE_OUTPUT):
        results = path.removesuffix(end)
        ledger = f"{results}.ledger"
        if path.endswith(end) and results != own and os.path.lexists(ledger) and _is_locked(ledger):
            raise HeldError(f"write {each.what} to {each.path}", f"a job that lives writes {results}", WAIT)


def _check_port(address: str, port: int) -> None:
    """Whether a server could listen there now."""
    try:
        kind = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind[0], kind[1]) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(kind[4])
    except (OSError, OverflowError) as error:
        raise LaunchError(
            f"serve metrics on {address} port {port}",
            getattr(error, "strerror", None) or str(error),
            "give another --metrics-port or --metrics-address",
        ) from None


def _is_locked(path: str) -> bool:
    """Whether a job that lives has this ledger; the file need not be there, nor be a ledger."""
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    return False


@contextlib.contextmanager
def outputs_held(outputs: Iterable[WrittenFile]) -> Iterator[None]:
    """Within, no other launch writes any of them; a directory that is made for one and stays empty goes at the end.

    Args:
        outputs: files and directories.

    Raises:
        HeldError: another launch writes one of them.
        LaunchError: one cannot be written.
    """
    places = ExitStack()
    with ExitStack() as held:
        for number, each in enumerate(outputs):
            if not number:
                _let_go_when_ended(held)
                held.callback(_let_go, places)
            _hold(each, places)
        yield


def _let_go(places: ExitStack) -> None:
    """Of what is on a disk that hangs those who come later will see that its launcher is dead."""
    let_go(places.close)


def _hold(each: WrittenFile, held: ExitStack) -> None:
    place, wanted = _place_of(each), f"write {each.what} to {each.path}"
    directory = os.path.dirname(place)
    for again in reversed(range(ROUNDS)):
        try:
            _make(directory, held)
            held.callback(hold_place(place, wanted, WAIT).release)
            return
        except FileNotFoundError as error:
            if not again:
                raise LaunchError(wanted, str(error.strerror), "give a path that can be written") from None
        except OSError as error:
            raise LaunchError(wanted, str(error.strerror), "give a path that can be written") from None


def _place_of(each: WrittenFile) -> str:
    """The file that says whose an output is."""
    path = os.path.realpath(each.path)
    if each.kind == "folder":
        return os.path.join(path, HELD)
    directory, name = os.path.split(path)
    whole = os.fsencode(name)
    return os.path.join(directory, f".{name if len(whole) <= LONGEST_NAME else hashlib.sha256(whole).hexdigest()}.held")


def _make(directory: str, held: ExitStack) -> None:
    """Make a directory and those above it; what nothing is put into is removed again.

    Raises:
        OSError: one cannot be made.
    """
    missing = []
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for each in reversed(missing):
        os.makedirs(each, exist_ok=True)
        held.callback(_remove_empty, each)


def _remove_empty(directory: str) -> None:
    with contextlib.suppress(OSError):  # most hold something now
        os.rmdir(directory)


def _let_go_when_ended(held: ExitStack) -> None:
    """Have signals that end the launcher where no run takes them let go first: a hold that stays stops other hosts."""
    import signal

    def end(number: int, frame: FrameType | None) -> None:
        held.close()
        former = before[number]
        if callable(former):
            former(number, frame)
        else:
            os.kill(os.getpid(), number)

    before: dict[int, Any] = {}
    for number in ENDING:
        former = signal.getsignal(number)
        if former not in (signal.SIG_IGN, None):
            before[number] = former
            held.callback(signal.signal, number, former)
            signal.signal(number, end)
