"""Before a command touches anything: nothing that it reads is written or removed by it, and what it writes can be."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ipexlaunch.cli.options.named_files import (
    BESIDE_OUTPUT,
    FOLDERS,
    LOADGEN_FILES,
    STREAMS,
    WRITES,
    WrittenFile,
    read_files,
)
from ipexlaunch.documents.write_file import check_directory, check_writable, descriptor_of, is_stream
from ipexlaunch.errors import LaunchError, RequestError
from ipexlaunch.launch.job import Job
from ipexlaunch.report.kept_runs.run_directory import LOGS, RUN_FILES
from ipexlaunch.report.live.metrics import check_name, require_client


def written_files(options: Mapping[str, Any]) -> list[WrittenFile]:
    """Everything that a command writes, replaces or removes, as far as its options name it.

    Args:
        options: the command's keyword arguments.
    """
    found = []
    for name in (name for name in options if name in WRITES and options[name]):
        path, what = options[name], WRITES[name]
        if name == "output_file":
            found += written_beside_output(path)
        else:
            kind: Literal["file", "any", "folder"] = "file"
            kind = "folder" if name in FOLDERS else "any" if name in STREAMS else kind
            found.append(WrittenFile(what=what, path=path, kind=kind))
        if name == "run_dir":
            found += [_inside(path, each, f"{each} of the run") for each in RUN_FILES]
            found.append(WrittenFile(what="logs", path=os.path.join(path, LOGS), kind="folder"))
        if name == "loadgen_log_dir":
            found += [_inside(path, each, what) for each in LOADGEN_FILES]
    return found


def written_beside_output(path: str) -> list[WrittenFile]:
    """The output of a batch job and the files beside it; only itself where it is a stream, nothing for "-".

    Args:
        path: as it was given.
    """
    if path == "-":
        return []
    if is_stream(path):
        return [WrittenFile(what=WRITES["output_file"], path=path, kind="any")]
    target = os.path.realpath(path)
    beside = [
        WrittenFile(what=f"the results' {end.lstrip('.')}", path=target + end, kind="beside") for end in BESIDE_OUTPUT
    ]
    return [WrittenFile(what=WRITES["output_file"], path=path, kind="file"), *beside]


def _inside(folder: str, name: str, what: str) -> WrittenFile:
    return WrittenFile(what=what, path=os.path.join(folder, name), kind="beside")


def refuse_overlaps(reads: Iterable[tuple[str, str | None]], writes: Iterable[tuple[str, str | None]]) -> None:
    """Compare every file that a command reads with every one that it writes, and those that it writes with each other.

    Files are the same where device and inode are (another path, a link); files that do not exist yet, where their
    resolved paths are. Devices and pipes are streams and may be named twice.

    Args:
        reads: (what it is, as words of a message such as "the input"; its path, None where there is none).
        writes: the same for everything that is written, replaced or removed, files beside an output included.

    Raises:
        RequestError: one file has two uses; nothing has been touched.
    """
    seen: dict[object, tuple[str, str]] = {}
    for what, path in reads:
        if path is not None and (identity := _identity(path)) is not None:
            seen.setdefault(identity, (what, path))
    for what, path in writes:
        if path is None or (identity := _identity(path)) is None:
            continue
        former = seen.setdefault(identity, (what, path))
        if former != (what, path):
            same = "" if former[1] == path else f" ({former[1]})"
            raise RequestError(f"write {what} to {path}", f"it is {former[0]}{same}", "give another path")


def _identity(path: str) -> object:
    """What tells one file from another; None for what is no file."""
    try:
        status = os.stat(path)
    except OSError:
        folder, name = os.path.split(os.path.realpath(path))
        try:
            above = os.stat(folder)  # which may be mounted in two places
        except OSError:
            return os.path.join(folder, name)
        return (above.st_dev, above.st_ino, name)
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        return (status.st_dev, status.st_ino)
    return None


def check_overlaps(
    options: Mapping[str, Any], more_reads: Iterable[tuple[str, str]] = (), more_writes: Iterable[WrittenFile] = ()
) -> None:
    """Refuse a request that would write, replace or remove what it reads, or put two things in one file.

    Commands call it again once they know files that no option names: those of a profile, of a run that is repeated.

    Args:
        options: the command's keyword arguments.
        more_reads: what else is read, as `read_files` has it.
        more_writes: what else is written.

    Raises:
        RequestError: there are two uses of one file.
    """
    writes = [*written_files(options), *more_writes]
    streams = _standard_streams()
    if not (writes or streams):
        return
    files = {os.path.realpath(each.path): each for each in writes if each.kind != "folder"}
    files = {path: each for path, each in files.items() if not os.path.isdir(path)}  # which `check_outputs` refuses
    for each in writes:
        above = os.path.dirname(os.path.realpath(each.path))
        while above not in files and above != os.path.dirname(above):
            above = os.path.dirname(above)
        if above in files:
            raise RequestError(
                f"write {each.what} to {each.path}",
                f"{above} is {files[above].what}, no directory",
                "give another path",
            )
    refuse_overlaps(
        [*read_files(options), *more_reads],
        [*_new_folders(writes), *((each.what, each.path) for each in writes if _is_file(each)), *streams],
    )


def program_reads(job: Job) -> list[tuple[str, str]]:
    """What is read of a program that no option names, as `read_files` has it.

    Args:
        job: of a run that is repeated.
    """
    program = {"program": job.program, "python": job.python, "module": job.kind == "module"}
    return read_files({**program, "no_python": job.kind == "executable"})


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
    if options.get("run_dir"):
        from ipexlaunch.report.kept_runs.run_directory import check_holds_no_run  # pydantic: only kept runs need it

        check_holds_no_run(options["run_dir"])
    if options.get("metrics_file") is not None or options.get("metrics_port") is not None:
        require_client()
        if options["metrics_file"] is not None:
            check_name(options["metrics_file"])
        if options["metrics_port"]:
            _check_port(options["metrics_address"], options["metrics_port"])


def _is_file(each: WrittenFile) -> bool:
    """Standard output and error are looked at as such, whatever names them."""
    return each.kind != "folder" and descriptor_of(each.path) not in (1, 2)


def _new_folders(writes: Iterable[WrittenFile]) -> list[tuple[str, str]]:
    """Directories that will be made: no file can have their name; two things may be put in one of them."""
    made = {os.path.realpath(each.path): each for each in writes if each.kind == "folder"}
    return [(each.what, path) for path, each in made.items() if not os.path.isdir(path)]


def _standard_streams() -> list[tuple[str, str]]:
    """Standard output and error, which the shell may have put into a file; both may be one."""
    found: dict[tuple[int, int], tuple[str, str]] = {}
    for number, what in ((1, "standard output"), (2, "standard error")):
        try:
            status = os.fstat(number)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            found.setdefault((status.st_dev, status.st_ino), (what, f"/dev/fd/{number}"))
    return list(found.values())


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
