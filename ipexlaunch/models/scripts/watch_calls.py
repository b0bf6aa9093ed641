"""Sees every outermost call of a torch.nn.Module, and of transformers' generate, in a process that has imported torch.

`torch.nn.Module.__call__` is replaced right after its class is made, before torch._dynamo remembers it: dynamo then
takes ours for the original (`unpatched_nn_module_call`) and goes from it straight to `forward`, as without us. Where it
does come across our function it sees a constant condition and the original behind it, and the function itself is not
compiled (`skip_code`): no graph break, no guard of ours, no other cache key of the compiled code.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

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


Original = Callable[..., Any]
Handle = Callable[[Original, Any, tuple[Any, ...], dict[str, Any], bool], Any]
"""Given the original, the model, the call's arguments, and whether it generates; runs it, returns its result."""


def _never() -> bool:
    return False


def _no_evaluation(_: object) -> None:
    return None


_compiling: Callable[[], bool] = _never
"""torch.compiler.is_dynamo_compiling, for which dynamo puts True while it traces, as soon as the script has it."""

_evaluate_by: Callable[[Any], Any] = _no_evaluation
"""What of dynamo evaluates this thread's next frames is replaced, and the former returned: None where nothing does."""


def _know_compiler(module: ModuleType) -> None:
    global _compiling
    _compiling = module.is_dynamo_compiling


class _Inside(threading.local):
    """Whether this thread is in an outermost call."""

    busy = False


def _as_it_is(original: Original, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], generates: bool) -> Any:
    del generates
    return original(model, *args, **kwargs)


class Watch:
    """Hands outermost calls to `handle`; those within another call go on as they are."""

    def __init__(self, handle: Handle) -> None:
        """Keep what handles them.

        Args:
            handle: called once per outermost call, in the calling thread.
        """
        self.handle = handle
        self.inside = _Inside()
        self.ours: list[Any] = []

    def end(self) -> None:
        """Let every call go on as it is from now on, as in forked children."""
        self.handle = _as_it_is

    def install(self) -> None:
        """Watch from the moment that the script imports torch, and transformers."""
        after_import(
            {
                "torch.nn.modules.module": lambda module: self.replace(module.Module, "__call__", False),
                "torch.compiler": _know_compiler,
                "torch._dynamo.eval_frame": self.keep_from_compiling,
                "torch.jit._trace": lambda module: self.mute(module, "trace", "trace_module"),
                "torch.export": lambda module: self.mute(module, "export"),
                "transformers.generation.utils": lambda module: self.replace(module.GenerationMixin, "generate", True),
            }
        )

    def replace(self, owner: Any, name: str, generates: bool) -> None:
        """Put ours in the place of a method.

        Args:
            owner: the class that has it.
            name: of the method.
            generates: what the handler is told.
        """
        setattr(owner, name, self.wrapped(getattr(owner, name), generates))

    def keep_from_compiling(self, module: ModuleType) -> None:
        """Have dynamo begin behind our functions, not with them.

        Args:
            module: torch._dynamo.eval_frame.
        """
        global _evaluate_by
        _evaluate_by = module.set_eval_frame
        for function in self.ours:
            module.skip_code(function.__code__)

    def mute(self, module: ModuleType, *names: str) -> None:
        """Take no notice of the calls by which these functions look at a model.

        Args:
            module: where they are.
            names: of the functions.
        """
        for name in names:
            setattr(module, name, self._muted(getattr(module, name)))

    def _muted(self, function: Original) -> Original:
        inside = self.inside

        @functools.wraps(function)
        def quiet(*args: Any, **kwargs: Any) -> Any:
            before, inside.busy = inside.busy, True
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                _forget_our_frames(error)
                raise
            finally:
                inside.busy = before

        return quiet

    def wrapped(self, original: Original, generates: bool) -> Original:
        """The method that takes the original's place.

        Args:
            original: a method of modules.
            generates: what the handler is told.
        """
        inside = self.inside

        # The name that dynamo looks for among the frames that it does not wrap is the original's.
        @functools.wraps(original)
        def call(model: Any, /, *args: Any, **kwargs: Any) -> Any:
            if _compiling():
                return original(model, *args, **kwargs)
            try:
                if inside.busy:
                    return original(model, *args, **kwargs)
                inside.busy = True
                evaluation = _evaluate_by(None)  # dynamo has no business in what we do around the call
                try:
                    run = original if evaluation is None else functools.partial(_evaluated, evaluation, original)
                    return self.handle(run, model, args, kwargs, generates)
                finally:
                    _evaluate_by(evaluation)
                    inside.busy = False
            except BaseException as error:
                # What the script prints of its errors has no line of ours. (Python 3.10 keeps them, until the end.)
                _forget_our_frames(error)
                raise

        self.ours.append(call)
        return call


def _evaluated(evaluation: object, original: Original, model: Any, *args: Any, **kwargs: Any) -> Any:
    """The original under what of dynamo was there when it was called."""
    _evaluate_by(evaluation)
    try:
        return original(model, *args, **kwargs)
    finally:
        _evaluate_by(None)


OUR_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


def _forget_our_frames(error: BaseException) -> None:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(OUR_FOLDER):
        trace = trace.tb_next
    error.__traceback__ = trace
