"""Acts when the script imports a module, without importing it: a script that never does pays nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Action = Callable[[ModuleType], None]


def after_import(actions: Mapping[str, Action]) -> None:
    """Have each action called once with its module, right after the module's own code has run; now, if it has.

    Args:
        actions: full module name to what is called.
    """
    awaited = dict(actions)
    for name in list(awaited):
        if name in sys.modules:
            awaited.pop(name)(sys.modules[name])
    if awaited:
        sys.meta_path.insert(0, _Finder(awaited))


class _Finder:
    """A finder of sys.meta_path; importlib.abc is not loaded for its base class, which adds nothing.

    It lets the others find the module, and has its own loader call the action when it has executed it.
    """

    def __init__(self, awaited: dict[str, Action]) -> None:
        self.awaited = awaited

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self.awaited:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None and finder is not self else None
            if spec is not None:
                self.attach(name, spec)
                return spec
        return None

    def attach(self, name: str, spec: ModuleSpec) -> None:
        """Replace the loader's exec_module for this once; the module keeps its own loader, as inspect expects."""
        loader = spec.loader
        if loader is None or not hasattr(loader, "exec_module"):
            return
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            execute(module)
            action = self.awaited.pop(name, None)
            if not self.awaited and self in sys.meta_path:
                sys.meta_path.remove(self)
            if action is not None:
                action(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
