"""Nothing that a command reads may be written, replaced or removed by it; found out before anything is touched.

Before a command does anything: nothing that it reads is written by it, and what it writes can be written.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click
from click.core import ParameterSource

from ipexlaunch.cli.options.hold_outputs import outputs_held, outputs_of, refuse_taken
from ipexlaunch.cli.options.named_files import READS, WRITES, WrittenFile, read_files, written_files
from ipexlaunch.cli.options.option_table import check_options
from ipexlaunch.cli.options.option_types import Decorated, adding
from ipexlaunch.documents.write_file import check_directory, check_writable, descriptor_of
from ipexlaunch.errors import LaunchError, RequestError, UsageError
from ipexlaunch.launch.job import Job
from ipexlaunch.report.live.metrics import check_name, require_client


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


class FileCheckedCommand(click.Command):
    """A command whose options and files are checked as soon as they are read, and whose outputs are its own then."""

    def invoke(self, ctx: click.Context) -> Any:
        """Check, hold, then run; what is wrong with the words is said with the way to this command's --help."""
        try:
            _refuse_empty(ctx)
            check_overlaps(ctx.params)
            if not ctx.params.get("replay"):  # else with what the kept run says (`recorded_values`)
                check_options(ctx)
            if ctx.params.get("dry_run"):
                return super().invoke(ctx)
            check_outputs(ctx.params)
            if not any(ctx.params.get(name) for name in WRITES):
                return super().invoke(ctx)
            refuse_taken(ctx.params)
            with outputs_held(outputs_of(ctx.params)):
                return super().invoke(ctx)
        except UsageError as error:
            raise click.UsageError(str(error), ctx) from None


def checked_command(name: str, *, takes_program: bool = False) -> Callable[[Callable[..., Any]], click.Command]:
    """A command whose options may be spelled with underscores, as ipexrun takes --log_dir as well as --log-dir.

    Args:
        name: of the command.
        takes_program: whether what follows PROGRAM is the program's, whatever it looks like.
    """
    settings = {
        "allow_interspersed_args": not takes_program,
        "token_normalize_func": lambda token: token.replace("_", "-"),
    }
    return click.command(name=name, cls=FileCheckedCommand, context_settings=settings)


def program_arguments(function: Decorated) -> Decorated:
    """Add PROGRAM and its arguments, and hand the context over."""
    program = click.argument("program", type=click.UNPROCESSED, required=False)
    arguments = click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    return adding(program, arguments, click.pass_context)(function)


def _refuse_empty(ctx: click.Context) -> None:
    """An empty path is a variable of the shell that was not set; the present directory would be taken for it."""
    named = {name: ctx.params.get(name) for name in (*READS, *WRITES) if name in ctx.params}
    for parameter in ctx.command.params:
        value = named.get(parameter.name or "")
        if ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE and (
            value == "" or (isinstance(value, tuple) and "" in value)
        ):
            raise click.UsageError(f"{parameter.get_error_hint(ctx)} is empty; give a path, or leave it out", ctx)


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
