"""Runs a program in this process and watches its model's calls: how the runner of scripts does what its options say."""

from __future__ import annotations

import atexit
import functools
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from ipexlaunch.models.scripts.auto_ipex import AutoIpex, load_converter
from ipexlaunch.models.scripts.count_calls import CallCounter
from ipexlaunch.models.scripts.run_as_main import run_as_main
from ipexlaunch.models.scripts.runner_arguments import ScriptOptions, read_words
from ipexlaunch.models.scripts.watch_calls import Handle, Original, Watch

BUILT_IN = "ipexlaunch.models."
"""Workers of our own begin so."""


def run_watched(words: Sequence[str], own_script: str) -> None:
    """Run the program that the words name, as `python` would.

    Args:
        words: as `ScriptOptions.words` makes them, then the program and its arguments.
        own_script: the file that this process was started with, absolute.
    """
    command = read_words(words)
    if command.options.asked:
        _watch(command.options)
    ours = (own_script, os.path.dirname(os.path.abspath(__file__)) + os.sep)
    if command.is_module and command.program.startswith(BUILT_IN):
        _run_our_own(command.program, command.arguments, os.path.dirname(own_script))
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
