"""Has every model that a script calls optimised by IPEX at its first call (ipexrun's --auto-ipex), its file unchanged.

Left as they are: models in training mode, scripts and graphs of torch.jit, models given to torch.compile, and models
that the script has optimised itself. Each is reported once.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from time import monotonic
from types import ModuleType
from typing import Any

from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.models.scripts.runner_arguments import ScriptOptions
from ipexlaunch.models.scripts.watch_calls import Original

LEFT_ALONE = object()
EXIT_REFUSED = 2

NOT_COMPARABLE = "its result holds no tensor of floating point"


class AutoIpex:
    """What stands in calls for the script's models, by model."""

    def __init__(
        self,
        options: ScriptOptions,
        worker: Callable[[], ModuleType],
        torch: Callable[[], Any],
        converter: Callable[[], Any],
        tell: Callable[[str], None],
    ) -> None:
        """Keep what it works with; nothing is imported yet.

        Args:
            options: the dtype, the graph mode, whether to be verbose.
            worker: gives ipexlaunch.worker, or what takes its place.
            torch: gives torch, when a model is called for the first time.
            converter: gives models/run/optimise_on_first_call.py, or what takes its place.
            tell: shows a line to the user.
        """
        self.options = options
        self._worker = worker
        self._torch = torch
        self._converter = converter
        self._tell = tell
        self._known: dict[int, tuple[Any, Any]] = {}
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self.done: list[str] = []
        self.seconds = 0.0

    def run(self, original: Original, model: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call what stands for the model.

        Args:
            original: the method of it that the script has called.
            model: the script's.
            args: positional arguments of the call.
            kwargs: the named ones.
        """
        optimised = self._optimised(model)
        if optimised is None or optimised is LEFT_ALONE or _trains(model):
            return original(model, *args, **kwargs)
        return optimised.call(original, args, kwargs)

    def prepare(self, original: Original, model: Any, args: Any, kwargs: Any, generates: bool) -> None:
        """Optimise a model before its first call, or find out why not.

        Args:
            original: the method of it that the script is calling.
            model: the script's.
            args: positional arguments of the call.
            kwargs: the named ones.
            generates: whether the method is `generate`.
        """
        if self._optimised(model) is not None:
            return
        if _trains(model):  # it may be evaluated later
            self._once(f"{_name(model)} is in training mode and runs as it is")
            return
        with self._lock:
            if self._optimised(model) is None:
                with self._torch().random.fork_rng(devices=[]):  # IPEX draws numbers, and the script's stay the same
                    self._decide(original, model, args, kwargs, generates)

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def _optimised(self, model: Any) -> Any:
        found = self._known.get(id(model))
        return found[1] if found is not None and found[0]() is model else None

    def _decide(self, original: Original, model: Any, args: Any, kwargs: Any, generates: bool) -> None:
        torch = self._torch()
        reason = _why_not(torch, model)
        if reason:
            if reason != "it has no weights":
                self._once(f"{_name(model)} runs as it is: {reason}")
            self._known[id(model)] = weakref.ref(model), LEFT_ALONE
            return
        begun = monotonic()
        worker = self._worker()
        worker.phase("converting")
        try:
            converter = self._converter()
        except (ImportError, OSError) as error:
            self._end(f"load IPEX: {error}")
        reference = None if generates else _reference(torch, original, model, args, kwargs)
        try:
            how = {"dtype": self.options.dtype, "graph": self.options.graph, "generates": generates}
            optimised = converter.optimise(model, original, args, kwargs, **how)
        except IpexLaunchError as error:
            self._end(str(error))
        self._known[id(model)] = weakref.ref(model), optimised
        self.done.append(f"{_name(model)}: {optimised.how}")
        for note in optimised.notes:
            self._once(f"{_name(model)}: {note}")
        words = wrong = ""
        why = "generate makes other texts of equal worth" if generates else "a call more could change its arguments"
        if reference is not None:
            why = NOT_COMPARABLE
            words, wrong = converter.wrong(reference, optimised.call(original, args, kwargs), self.options.dtype)
        if not words:
            self._once(f"the answers of {_name(model)} are not compared with fp32: {why}")
        if wrong:
            worker.invalid(f"wrong answers of {_name(model)} by IPEX in {self.options.dtype}: {wrong}")
        if self.options.verbose:
            self._profile(optimised, original, args, kwargs)
        self.seconds += monotonic() - begun
        worker.tell(
            engine="ipex",
            dtype=self.options.dtype,
            optimised=self.done,
            convert_s=round(self.seconds, 3),
            check=words or f"not checked: {why}",
        )

    def _profile(self, optimised: Any, original: Original, args: Any, kwargs: Any) -> None:
        torch = self._torch()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            optimised.call(original, args, kwargs)
        self._tell("--auto-ipex-verbose: one call of what IPEX made")
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=20), file=sys.stderr)

    def _once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(f"--auto-ipex: {text}")

    def _end(self, text: str) -> None:
        self._tell(text)
        raise SystemExit(EXIT_REFUSED)


def _trains(model: Any) -> bool:
    return bool(getattr(model, "training", False))


def _name(model: Any) -> str:
    return type(model).__name__


def _why_not(torch: Any, model: Any) -> str:
    """Why a model in eval mode is not optimised; "" where it is."""
    if isinstance(model, torch.jit.ScriptModule):
        return "it is a graph of torch.jit already"
    if _name(model) == "OptimizedModule" or getattr(model, "_compiled_call_impl", None) is not None:
        return "torch.compile has it"
    parameters = list(model.parameters())
    if not parameters:
        return "it has no weights"
    if any(parameter.device.type != "cpu" for parameter in parameters):
        return "its weights are not in the cpu's memory"
    kinds = {parameter.dtype for parameter in parameters if parameter.is_floating_point()}
    if kinds != {torch.float32}:
        return f"its weights are in {', '.join(sorted(map(str, kinds))) or 'integers'}, not torch.float32"
    if any(type(module).__module__.startswith("intel_extension_for_pytorch") for module in model.modules()):
        return "the script has optimised it itself"
    return ""


def _reference(torch: Any, original: Original, model: Any, args: Any, kwargs: Any) -> Any:
    """What the model answers before anything is done to it; None where a call more than the script's could matter."""
    if not all(_is_plain(torch.Tensor, value) for value in (*args, *kwargs.values())):
        return None
    with torch.no_grad():
        return original(model, *args, **kwargs)


def _is_plain(tensor: type, value: Any) -> bool:
    """Whether a call cannot change it, unlike a key-value cache or an iterator."""
    if isinstance(value, tuple | list | Mapping):  # a mapping is what a tokenizer gives
        return all(_is_plain(tensor, each) for each in (value.values() if isinstance(value, Mapping) else value))
    return value is None or isinstance(value, tensor | bool | int | float | str)


def load_converter() -> Any:
    """models/run/optimise_on_first_call.py, which imports IPEX."""
    user: Any = importlib.import_module("ipexlaunch.models.user_directory")
    os.environ.update(user.name_where_nobody_knows_one())
    return importlib.import_module("ipexlaunch.models.run.optimise_on_first_call")
