"""Runs an unchanged script and counts its model's calls: `python -u .../run_script.py [OPTIONS] SCRIPT ARGUMENTS`.

Started by its path, not with -m, so that nothing in the current folder can take the place of a module before the script
has its own sys.path.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(words: Sequence[str]) -> None:
    """Run the program that the words name, as `python` would.

    Args:
        words: as `ScriptOptions.words` makes them, then the program and its arguments.
    """
    import os

    from ipexlaunch.engines.script_options import read_words
    from ipexlaunch.run_scripts.run_as_main import run_as_main

    command = read_words(words)
    if command.options.count_calls:
        _count_calls(command.options.warmup_calls)
    here = os.path.abspath(__file__)
    ours = (here, os.path.join(os.path.dirname(os.path.dirname(here)), "run_scripts") + os.sep)
    run_as_main(command.program, command.arguments, is_module=command.is_module, ours=ours)


def _count_calls(warmup_calls: int) -> None:
    import atexit
    import importlib
    import os

    from ipexlaunch.run_scripts.count_calls import CallCounter
    from ipexlaunch.run_scripts.watch_calls import Watch

    def tell(text: str) -> None:
        print(f"ipexlaunch: {text}", file=sys.stderr, flush=True)

    counter = CallCounter(
        worker=lambda: importlib.import_module("ipexlaunch.worker"),
        torch=lambda: sys.modules["torch"],
        warmup_calls=warmup_calls,
        tell=tell,
        started=lambda: run_first_at_exit(),
    )
    watch = Watch(counter.handle)

    def run_first_at_exit() -> None:
        # What is registered last runs first; ready() has just registered the worker's end, and facts come before it.
        atexit.unregister(counter.at_exit)
        atexit.register(counter.at_exit)

    def forget() -> None:
        watch.end()
        atexit.unregister(counter.at_exit)

    os.register_at_fork(after_in_child=forget)  # a child is not the worker
    atexit.register(counter.at_exit)
    watch.install()


if __name__ == "__main__":
    # The copy that can be imported, because the script gets the namespace of this one.
    from ipexlaunch.workers.run_script import main as run

    run(sys.argv[1:])
