"""Runs a program as `python PROGRAM` or `python -m PROGRAM` would: the same __main__, sys.path, traceback and end.

Source: Modules/main.c of CPython (pymain_run_python) and runpy; the tests compare it with the interpreter.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from types import TracebackType
from typing import TYPE_CHECKING
from zipimport import ZipImportError, zipimporter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CANNOT_OPEN = 2
"""Exit code of the interpreter where it cannot read the script."""


def run_as_main(program: str, arguments: Sequence[str], *, is_module: bool, ours: Sequence[str]) -> None:
    """Run a program in this process as its `__main__`; what it raises is raised, its traceback shows no line of ours.

    Args:
        program: a path (a script, a folder or archive with __main__.py), or a module's name.
        arguments: what stands behind the program in its sys.argv.
        is_module: whether it is a module's name.
        ours: folders and files whose frames are left out of a traceback that ends the program.
    """
    sys.argv = [program, *arguments]
    try:
        if is_module:
            _put_first_in_path(os.getcwd())
            _run_module(program, alter_argv=True)
        elif _is_script(program):
            _put_first_in_path(os.path.dirname(os.path.realpath(program)))
            _run_script(program)
        else:  # a folder or an archive
            # Here __main__ is looked for, so it is there with PYTHONSAFEPATH too.
            sys.path[: 0 if _safe_path() else 1] = [os.path.join(os.getcwd(), program)]
            _run_module("__main__", alter_argv=False)
    except SystemExit:
        raise
    except BaseException:
        _hide_ours(ours)
        raise


def _is_script(program: str) -> bool:
    if os.path.isdir(program):
        return False
    try:
        zipimporter(program)
    except ZipImportError:
        return True
    return False


def _run_module(name: str, *, alter_argv: bool) -> None:
    import runpy

    _clear_main()
    runpy._run_module_as_main(name, alter_argv=alter_argv)  # type: ignore[attr-defined]  # what the interpreter calls


def _put_first_in_path(folder: str) -> None:
    """Replace the folder of our own program; with PYTHONSAFEPATH there is none, and none is added."""
    if not _safe_path():
        sys.path[0] = folder


def _safe_path() -> bool:
    return bool(getattr(sys.flags, "safe_path", False))  # since Python 3.11


def _clear_main() -> dict[str, object]:
    """The namespace of `__main__`, as empty as the interpreter hands it to a program."""
    namespace = vars(sys.modules["__main__"])
    builtins = namespace["__builtins__"]
    namespace.clear()
    namespace.update(
        __name__="__main__", __doc__=None, __package__=None, __loader__=None, __spec__=None, __builtins__=builtins
    )
    if sys.version_info < (3, 14):  # since then annotations are made when they are asked for
        namespace["__annotations__"] = {}
    return namespace


def _run_script(program: str) -> None:
    path = os.path.join(os.getcwd(), program)  # neither normalised nor resolved, as the interpreter makes it
    compiled = program.endswith(".pyc")
    loader = (SourcelessFileLoader if compiled else SourceFileLoader)("__main__", path)
    try:
        data = loader.get_data(path)
    except OSError as error:
        sys.stderr.write(f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}\n")
        raise SystemExit(CANNOT_OPEN) from None
    # Not the loader's source_to_code, whose frames would stand in the traceback of a syntax error.
    code = loader.get_code("__main__") if compiled else compile(data, path, "exec", dont_inherit=True)
    if code is None:
        raise ImportError(f"no code in {path}")
    namespace = _clear_main()
    namespace.update(__file__=path, __cached__=None, __loader__=loader)
    exec(code, namespace)


def _hide_ours(ours: Sequence[str]) -> None:
    """Have the traceback that ends the program shown, by whatever hook it has installed, without our frames."""
    show = sys.excepthook

    def shown(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        del trace  # `value` carries it
        _strip(value, tuple(ours), set())
        show(kind, value, value.__traceback__)

    sys.excepthook = shown


def _strip(error: BaseException, ours: tuple[str, ...], done: set[int]) -> None:
    """Take our frames out of an exception's traceback, and out of those of the exceptions that it came from."""
    if id(error) in done:
        return
    done.add(id(error))
    error.__traceback__ = without(error.__traceback__, lambda filename: filename.startswith(ours))
    for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        if isinstance(other, BaseException):
            _strip(other, ours, done)


def without(trace: TracebackType | None, is_ours: Callable[[str], bool]) -> TracebackType | None:
    """The traceback without the entries of our files.

    Args:
        trace: the whole one.
        is_ours: tells a file name of ours.
    """
    entries = []
    while trace is not None:
        if not is_ours(trace.tb_frame.f_code.co_filename):
            entries.append(trace)
        trace = trace.tb_next
    kept: TracebackType | None = None
    for entry in reversed(entries):
        kept = TracebackType(kept, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return kept
