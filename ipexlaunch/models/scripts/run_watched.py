"""Runs a program in this process and watches its model's calls: how the runner of scripts does what its options say.

It runs as `python PROGRAM` or `python -m PROGRAM` would: the same __main__, sys.path, traceback and end. Source:
Modules/main.c of CPython (pymain_run_python) and runpy; the tests compare it with the interpreter.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from types import ModuleType, TracebackType
from typing import Any, NoReturn
from zipimport import ZipImportError, zipimporter

from ipexlaunch.models.scripts.auto_ipex import AutoIpex, load_converter
from ipexlaunch.models.scripts.count_calls import CallCounter
from ipexlaunch.models.scripts.runner_arguments import ScriptOptions, parse_command
from ipexlaunch.models.scripts.watch_calls import Handle, Original, Watch

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


TEMPLATE_VARIABLE = "IPEXLAUNCH_TEMPLATE"
"""That of worker/template.py."""

BUILT_IN = "ipexlaunch.models."
"""Workers of our own begin so."""


def run_watched(words: Sequence[str], own_script: str) -> None:
    """Run the program that the words name, as `python` would.

    Args:
        words: as `ScriptOptions.words` makes them, then the program and its arguments.
        own_script: the file that this process was started with, absolute.
    """
    command = parse_command(words)
    ours = (own_script, os.path.dirname(os.path.abspath(__file__)) + os.sep)
    if command.is_module and command.program.startswith(BUILT_IN):
        _run_our_own(command.program, command.arguments, os.path.dirname(own_script))
    if TEMPLATE_VARIABLE in os.environ:
        # Not before: only a script that asks for ipexlaunch.worker is to have it.
        command = importlib.import_module("ipexlaunch.models.scripts.share_start").share_start(command)
    if command.options.asked:
        _watch(command.options)
    run_as_main(command.program, command.arguments, is_module=command.is_module, ours=ours)


def _run_our_own(program: str, arguments: Sequence[str], folder: str) -> NoReturn:
    """Run a built-in worker: what lies in the current folder, such as a checkout of torch, is nothing to it."""
    if sys.path and sys.path[0] == folder:  # -I and -P leave it out
        del sys.path[0]
    sys.exit(importlib.import_module(program).main(arguments))


def _watch(options: ScriptOptions) -> None:
    handle: Handle | None = None
    if options.count_calls:
        handle = _counter(options.warmup_calls, options.start_after_warmup).handle
    if options.auto_ipex:
        # What IPEX replaces in torch, torch would tell at length; it reads this when it is loaded.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        handle = _optimised(options, handle)
    if handle is not None:
        watch = Watch(handle)
        watch.install()
        if not options.auto_ipex:
            os.register_at_fork(after_in_child=watch.end)


def _counter(warmup_calls: int, start_after_warmup: bool) -> CallCounter:
    def run_first_at_exit() -> None:
        # What is registered last runs first; ready() has just registered the worker's end, and facts come before it.
        atexit.unregister(counter.at_exit)
        atexit.register(counter.at_exit)

    counter = CallCounter(
        worker=_worker,
        torch=lambda: sys.modules["torch"],
        warmup_calls=warmup_calls,
        tell=_tell,
        started=run_first_at_exit,
        start_after_warmup=start_after_warmup,
    )
    atexit.register(counter.at_exit)
    os.register_at_fork(after_in_child=lambda: atexit.unregister(counter.at_exit))
    return counter


def _optimised(options: ScriptOptions, inner: Handle | None) -> Handle:
    """A handler that has IPEX optimise the models, and then counts as before."""
    auto = AutoIpex(options, worker=_worker, torch=lambda: sys.modules["torch"], converter=load_converter, tell=_tell)

    def handle(original: Original, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], generates: bool) -> Any:
        auto.prepare(original, model, args, kwargs, generates)
        run = functools.partial(auto.run, original)
        return run(model, *args, **kwargs) if inner is None else inner(run, model, args, kwargs, generates)

    def forget() -> None:
        nonlocal inner
        inner = None
        auto.after_fork()

    os.register_at_fork(after_in_child=forget)  # what was converted stays so in a child, which is not the worker
    return handle


def _worker() -> ModuleType:
    return importlib.import_module("ipexlaunch.worker")


def _tell(text: str) -> None:
    print(f"ipexlaunch: {text}", file=sys.stderr, flush=True)
