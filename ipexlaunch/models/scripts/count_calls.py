"""Counts the calls of a script's model: which calls are work, when the common start is, how long each took.

One model is counted, the first that is called more often than its warm-up: an encoder and the head behind it see the
same items, and adding both would count everything twice. In other threads its replicas (models of the same class) are
counted too. Calls of other models are told in the report, not added.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from time import perf_counter
from types import ModuleType
from typing import Any

from ipexlaunch.models.scripts.call_sizes import items_of, new_tokens, vmapped_items
from ipexlaunch.models.scripts.watch_calls import Original


def counts_itself(worker: ModuleType) -> str:
    """Name of a module of the script that has ipexlaunch.worker and speaks of ready; "" where there is none.

    A script that only takes its `index` from there does not count. What stands in the source decides, because the call
    itself comes after the warm-up, too late.

    Args:
        worker: ipexlaunch.worker.
    """
    for name, module in list(sys.modules.items()):
        if module is worker or name.startswith("ipexlaunch") or not isinstance(module, ModuleType):
            continue
        has_it = any(value is worker or value is worker.ready for value in list(vars(module).values()))
        if has_it and _says_ready(module):
            return name
    return ""


def _says_ready(module: ModuleType) -> bool:
    path = getattr(module, "__file__", None)
    if not path:
        return False
    try:
        with open(path, "rb") as file:
            return b"ready" in file.read()
    except OSError:
        return True  # better no rate, with a note, than two that disturb each other


OTHER_MODELS_TOLD = 5


class _Seen:
    """What is known of one model."""

    __slots__ = ("called", "calls", "has_weights", "model", "name")

    def __init__(self, model: Any, has_weights: bool) -> None:
        self.model = self.called = weakref.ref(model)
        self.has_weights = has_weights
        self.name = type(model).__name__
        self.calls = 0


class _Thread(threading.local):
    """Which model this thread's counted calls are of."""

    counted: _Seen | None = None


class CallCounter:
    """Turns calls into the three words of ipexlaunch.worker: ready, count, finish (which comes by itself at exit)."""

    def __init__(
        self,
        worker: Callable[[], ModuleType],
        torch: Callable[[], Any],
        warmup_calls: int,
        tell: Callable[[str], None],
        started: Callable[[], None] = lambda: None,
        start_after_warmup: bool = False,
    ) -> None:
        """Keep what it works with; nothing is imported yet.

        Args:
            worker: gives ipexlaunch.worker, or what takes its place.
            torch: gives torch, when a model is called for the first time.
            warmup_calls: calls of a model before the common start.
            tell: shows a line to the user.
            started: called once, right after the common start.
            start_after_warmup: whether the start comes at the end of the last warm-up call, before the script looks at
                its clock; else before the call after it, because nothing tells whether that model is the one.
        """
        self._started = started
        self._start_after_warmup = start_after_warmup
        self._has_started = False
        self._worker_of = worker
        self._torch_of = torch
        self.warmup_calls = warmup_calls
        self._tell = tell
        self._lock = threading.Lock()
        self._seen: dict[int, _Seen] = {}
        self._thread = _Thread()
        self._worker: ModuleType | None = None
        self._torch: Any = None
        self._tensor: Any = None
        self._count: Any = None
        self.script_counts = ""
        """The module of the script that counts for itself; "" where none does."""
        self.counted: _Seen | None = None
        """The first model that was counted; None before the start."""
        self.calls = self.warmups = self.training = 0
        self.others: Counter[str] = Counter()
        self.weightless: Counter[str] = Counter()
        """Calls of modules that are no models, by name."""

    def handle(
        self, original: Original, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], generates: bool
    ) -> Any:
        """Run one outermost call, counted where it is work."""
        own = self._thread.counted
        if own is None or own.called() is not model or self._trains(model):
            if self._torch is None:
                self._begin()
            if self.script_counts:
                return original(model, *args, **kwargs)
            if not self._counts(model):
                result = original(model, *args, **kwargs)
                if self._start_after_warmup and not self._has_started:
                    self._end_warmup(model)
                return result
        begun = perf_counter()
        result = original(model, *args, **kwargs)
        seconds = perf_counter() - begun
        items = vmapped_items(self._torch, self._tensor, args, kwargs) or items_of(self._tensor, args, kwargs)
        tokens = new_tokens(model, args, kwargs, result) if generates else 0
        with self._lock:  # worker.count() is for one thread
            self.calls += 1
            self._count(items, tokens, seconds)
        return result

    def _begin(self) -> None:
        with self._lock:
            if self._torch is None:
                worker = self._worker = self._worker_of()
                self.script_counts = counts_itself(worker)
                if not self.script_counts and self.warmup_calls:
                    worker.phase("warming up")
                self._count = worker.count
                torch = self._torch_of()
                self._tensor = torch.Tensor
                self._torch = torch

    def _trains(self, model: Any) -> bool:
        # Frozen scripts have no such attribute.
        return getattr(model, "training", False) and self._torch.is_grad_enabled()

    def _counts(self, model: Any) -> bool:
        """Whether this call is work; the first that is waits for the common start."""
        seen = self._seen_as(model)
        if not seen.has_weights:
            self.weightless[seen.name] += 1
            return False
        if self._trains(model):
            self.training += 1
            return False
        if self._is_another(seen):
            self.others[seen.name] += 1
            return False
        if self._thread.counted is not seen:
            with self._lock:  # other threads wait here for the common start, too
                if seen.calls < self.warmup_calls:
                    seen.calls += 1
                    self.warmups += 1
                    return False
                if self.counted is None and not self._start():
                    return False
                if self.counted is None or self.counted.model() is None:
                    self.counted = seen
            self._thread.counted = seen
        seen.called = weakref.ref(model)
        return True

    def _end_warmup(self, model: Any) -> None:
        """Start where this call was the last of the model's warm-up."""
        seen = self._seen_as(model)
        with self._lock:
            if seen.calls == self.warmup_calls and self.counted is None:
                self._start()

    def _is_another(self, seen: _Seen) -> bool:
        """Whether another model is counted: in this thread, or else one of another class; one that is gone is none."""
        own, first = self._thread.counted, self.counted
        if own is not None and own.model() is not None:
            return own is not seen
        return first is not None and first.model() is not None and first.name != seen.name

    def _seen_as(self, called: Any) -> _Seen:
        # What torch.compile wraps around a model; both are one.
        model = called._orig_mod if type(called).__name__ == "OptimizedModule" else called
        seen = self._seen.get(id(model))
        if seen is None or seen.model() is not model:
            seen = self._seen[id(model)] = _Seen(model, self._has_weights(model))
        return seen

    def _has_weights(self, model: Any) -> bool:
        """Losses, activations and poolings are modules too, but no models; a frozen script keeps its weights apart."""
        if isinstance(model, self._torch.jit.ScriptModule) or next(model.parameters(), None) is not None:
            return True
        return any(map(self._holds_weights, model.modules()))

    def _holds_weights(self, module: Any) -> bool:
        """Whether a module keeps weights that are no parameters: packed by a quantisation, integers, plain tensors.

        Buffers of floating point are no sign: a loss has class weights, a spectrogram its window.
        """
        if hasattr(module, "_packed_params") or hasattr(module, "_weight_bias"):  # torch.ao.nn.quantized
            return True
        buffers = (buffer for buffer in module.buffers(recurse=False) if not buffer.is_floating_point())
        plain = (value for value in vars(module).values() if isinstance(value, self._tensor))
        return any(tensor.dim() >= 2 for tensor in (*buffers, *plain))

    def _start(self) -> bool:
        worker = self._worker
        if worker is None:
            return False
        if self._has_started:
            return True
        self.script_counts = counts_itself(worker)  # what was imported since the first call
        if self.script_counts:
            return False
        self._has_started = True
        worker.ready()
        self._started()
        return True

    def facts(self) -> dict[str, object]:
        """What was counted, for the report."""
        facts: dict[str, object] = {"counted": self.counted.name if self.counted else "", "calls": self.calls}
        if self.warmups:
            facts["warmup_calls"] = self.warmups
        if self.others:
            facts["calls_not_counted"] = dict(self.others.most_common(OTHER_MODELS_TOLD))
        if self.training:
            facts["training_calls_not_counted"] = self.training
        return facts

    def at_exit(self) -> None:
        """Tell what was counted, or why nothing was; before the worker's own end."""
        if self.script_counts:
            self._tell(f"--count-calls left the counting to the script: {self.script_counts} calls worker.ready()")
        elif self._worker is not None and self.calls:
            self._worker.tell(**self.facts())
            if self.others:
                counted = self.counted.name if self.counted else ""
                self._tell(f"--count-calls counted the calls of {counted}; not added: {_most(self.others)}")
        else:
            why = f"--count-calls counted nothing: {self._why_nothing()}"
            self._tell(why)
            # Not imported for this: a script has its own folder first in sys.path, and may have a json.py in it.
            if self._worker is not None:
                self._worker.invalid(why)

    def _why_nothing(self) -> str:
        if self.warmups:
            return (
                f"{self.warmups} call{'s' * (self.warmups > 1)} of a model, all of them warm-up "
                f"(--warmup-calls {self.warmup_calls})"
            )
        if self.training:
            calls = f"{self.training} call{'s' * (self.training > 1)} of a model"
            return f"{calls} in training mode; only inference is counted"
        compiled = getattr(sys.modules.get("torch._dynamo.utils"), "counters", {}).get("frames")
        more = "; calls inside a function given to torch.compile are not seen, give it the model" if compiled else ""
        if self.weightless:
            names = _most(self.weightless)
            return f"no module with weights was called, only {names}; count by ipexlaunch.worker{more}"
        return f"no model (torch.nn.Module) was called in this process{more}"


def _most(models: Counter[str]) -> str:
    return ", ".join(f"{name} ({calls})" for name, calls in models.most_common(OTHER_MODELS_TOLD))
