"""Which files the options of a command name, and that nothing which it reads is written, replaced or removed by it."""

from __future__ import annotations

import fnmatch
import glob
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from ipexlaunch.cli.options.option_table import (
    BESIDE_OUTPUT,
    FOLDERS,
    LOADGEN_FILES,
    MODEL_FILES,
    MOST_FILES,
    READS,
    STREAMS,
    WRITES,
)
from ipexlaunch.cli.options.option_types import workers_python
from ipexlaunch.documents.write_file import descriptor_of, is_stream
from ipexlaunch.errors import RequestError
from ipexlaunch.launch.job import Job
from ipexlaunch.report.kept_runs.run_directory import GROUP, LOGS, RENDEZVOUS, RUN_FILES


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """Something that a command writes, replaces or removes."""

    what: str
    """As a phrase for messages."""
    path: str
    kind: Literal["file", "any", "folder", "beside"]
    """A regular file; one, or a stream; a directory to put files in; a file beside one of these or in it."""


def read_files(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what it is, path) of every file that a command reads, as far as its options name it.

    Args:
        options: the command's keyword arguments.
    """
    found = [(READS[name], path) for name in options if name in READS for path in _paths_read(name, options)]
    if "program" in options and not options.get("no_python") and isinstance(options["program"], str):
        found.append((READS["python"], _found(options.get("python") or workers_python())))
    return found


def _paths_read(name: str, options: Mapping[str, Any]) -> Iterator[str]:
    value = options[name]
    if name == "program":
        yield from _program_files(value, options)
        return
    for each in value if isinstance(value, (tuple, list)) else (value,):
        if each:
            yield from _EXPANDED.get(name, _itself)(each)


def _itself(path: str) -> Iterable[str]:
    return (path,)


def _input_files(path: str) -> Iterable[str]:
    if path == "-":
        return ("/dev/stdin",)
    return (path,) if os.path.exists(path) else glob.glob(path, recursive=True) or (path,)


def _model_files(path: str) -> Iterable[str]:
    from ipexlaunch.models.engines.model_job import is_random  # engines: a run of a script needs nothing of them

    if is_random(path):
        return ()
    return _matching(path, MODEL_FILES) if os.path.isdir(path) else (path,)


def _run_files(path: str) -> Iterable[str]:
    if not os.path.isdir(path):
        return (path,)
    return [
        *(os.path.join(path, name) for name in (*RUN_FILES, GROUP, RENDEZVOUS)),
        *_matching(os.path.join(path, LOGS), ("*",)),
    ]


def _machine_files(source: str) -> Iterable[str]:
    """Of a saved tree those in sys/ and proc/; of this machine none: nobody writes there."""
    if not os.path.exists(source) or os.path.realpath(source) == "/":
        return ()
    if not os.path.isdir(source):
        return (source,)
    trees = (os.walk(os.path.join(source, part)) for part in ("sys", "proc"))
    every = (os.path.join(folder, name) for tree in trees for folder, _, names in tree for name in names)
    return islice(every, MOST_FILES)


def _matching(folder: str, patterns: Iterable[str]) -> list[str]:
    try:
        names = sorted(os.listdir(folder))[:MOST_FILES]
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if any(fnmatch.fnmatch(name, each) for each in patterns)]


def _found(program: str) -> str:
    return shutil.which(program) or program


def _program_files(program: object, options: Mapping[str, Any]) -> Iterator[str]:
    """A script, a folder's __main__.py, a module in the present folder or on PYTHONPATH, or an executable."""
    if not isinstance(program, str):
        return
    if options.get("no_python"):
        yield _found(program)
    elif options.get("module"):
        for folder in (".", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))):
            base = os.path.join(folder, *program.split("."))
            yield from (f"{base}.py", os.path.join(base, "__main__.py"), os.path.join(base, "__init__.py"))
    else:
        yield os.path.join(program, "__main__.py") if os.path.isdir(program) else program


_EXPANDED: Mapping[str, Callable[[str], Iterable[str]]] = {
    "input_file": _input_files,
    "model": _model_files,
    "models": _model_files,
    "paths": _run_files,
    "python": lambda path: (_found(path),),
    "pythons": lambda path: (_found(path),),
    "replay": _run_files,
    "root": _machine_files,
    "source": _machine_files,
    "topology": _machine_files,
}


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
