"""Runs an unchanged script and watches its model's calls: `python -u .../run_script.py [OPTIONS] SCRIPT ARGUMENTS`.

Started by its path, not with -m, so that nothing in the current folder can take the place of a module before the script
has its own sys.path. It starts the built-in workers too: `.../run_script.py -m ipexlaunch.models.run_model JOB`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from ipexlaunch.models.scripts.count_calls import CallCounter
    from ipexlaunch.models.scripts.runner_arguments import ScriptOptions
    from ipexlaunch.models.scripts.watch_calls import Handle, Original


def main(words: Sequence[str]) -> None:
    """Run the program that the words name, as `python` would.

    Args:
        words: as `ScriptOptions.words` makes them, then the program and its arguments.
    """
    import os

    from ipexlaunch.models.scripts.run_as_main import run_as_main
    from ipexlaunch.models.scripts.runner_arguments import read_words

    command = read_words(words)
    if command.options.asked:
        _watch(command.options)
    here = os.path.abspath(__file__)
    ours = (here, os.path.join(os.path.dirname(here), "scripts") + os.sep)
    if command.is_module and command.program.startswith(f"{__package__}."):
        _run_our_own(command.program, command.arguments)
    run_as_main(command.program, command.arguments, is_module=command.is_module, ours=ours)


def _run_our_own(program: str, arguments: Sequence[str]) -> NoReturn:
    """Run a built-in worker: what lies in the current folder, such as a checkout of torch, is nothing to it."""
    import importlib

    _leave_folder_out()
    sys.exit(importlib.import_module(program).main(arguments))


def _watch(options: ScriptOptions) -> None:
    import os

    from ipexlaunch.models.scripts.watch_calls import Watch

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
    import atexit
    import os

    from ipexlaunch.models.scripts.count_calls import CallCounter

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
    import functools
    import os

    from ipexlaunch.models.scripts.auto_ipex import AutoIpex, load_converter

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
    import importlib

    return importlib.import_module("ipexlaunch.worker")


def _tell(text: str) -> None:
    print(f"ipexlaunch: {text}", file=sys.stderr, flush=True)


def _leave_folder_out() -> None:
    """Take the folder of this file out of sys.path, where the interpreter has put it."""
    if sys.path and sys.path[0] == __file__.rpartition("/")[0]:  # -I and -P leave it out
        del sys.path[0]


def _find_ourselves() -> None:
    """Have this very ipexlaunch imported, whatever else of that name sys.path leads to."""
    package = __file__.rpartition("/")[0].rpartition("/")[0]
    sys.path.insert(0, package + "/worker/import_path")
    import ipexlaunch  # noqa: F401

    del sys.path[0]


if __name__ == "__main__":
    _find_ourselves()
    # The copy that can be imported, because the script gets the namespace of this one.
    from ipexlaunch.models.run_script import main as run

    run(sys.argv[1:])
