"""Which calls are counted, with stand-ins for torch and for the worker's three calls."""

from __future__ import annotations

import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ipexlaunch.models.scripts.call_sizes import items_of, new_tokens
from ipexlaunch.models.scripts.count_calls import CallCounter


class Tensor:
    """What of a tensor is looked at."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def dim(self) -> int:
        return len(self.shape)


class Model:
    """A module in evaluation mode, with weights unless told otherwise."""

    def __init__(self, weights: bool = True, training: bool = False) -> None:
        self.weights = weights
        self.training = training

    def parameters(self) -> Any:
        return iter([0] if self.weights else [])

    parts: tuple[object, ...] = ()

    def modules(self) -> Any:
        return iter([SimpleNamespace(buffers=lambda **_: iter(())), *self.parts])


class Head(Model):
    pass


class Script(Model):
    """What torch.jit makes: weights are inside."""

    def __init__(self) -> None:
        super().__init__(weights=False)
        del self.training


class OptimizedModule(Model):
    """What torch.compile makes of a model."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._orig_mod = model


class Bench:
    """A counter with what it said."""

    def __init__(self, warmup_calls: int = 1, grad: bool = False, start_after_warmup: bool = False) -> None:
        self.said: list[object] = []
        self.told: list[str] = []
        self.grad = grad
        worker = ModuleType("stand_in_for_worker")
        vars(worker).update(
            phase=lambda name: self.said.append(name),
            ready=lambda: self.said.append("ready"),
            count=lambda items, tokens, _: self.said.append((items, tokens)),
            tell=lambda **facts: self.said.append(facts),
            invalid=lambda reason: self.said.append(f"invalid: {reason}"),
        )
        torch = SimpleNamespace(
            Tensor=Tensor, is_grad_enabled=lambda: self.grad, jit=SimpleNamespace(ScriptModule=Script)
        )
        self.counter = CallCounter(
            lambda: worker, lambda: torch, warmup_calls, self.told.append, start_after_warmup=start_after_warmup
        )

    def call(self, model: Model, *args: object, **kwargs: object) -> object:
        return self.counter.handle(lambda _, *a, **k: (a, k), model, args, kwargs, False)

    @property
    def counted(self) -> list[int]:
        return [said[0] for said in self.said if isinstance(said, tuple)]


def test_the_first_calls_are_warm_up_then_comes_the_start_then_work() -> None:
    bench, model = Bench(warmup_calls=2), Model()
    for size in (1, 2, 3, 4):
        assert bench.call(model, Tensor(size, 7), mask=1) == ((Tensor,), {}) or True
    assert bench.said == ["warming up", "ready", (3, 0), (4, 0)]


def test_the_result_is_the_models_own() -> None:
    bench, model = Bench(), Model()
    for _ in range(3):
        assert bench.call(model, 1, mask=2) == ((1,), {"mask": 2})


def test_without_warm_up_the_first_call_counts() -> None:
    bench = Bench(warmup_calls=0)
    bench.call(Model(), Tensor(5))
    assert bench.said == ["ready", (5, 0)]


def test_the_head_behind_an_encoder_is_told_but_not_added() -> None:
    bench, encoder, head = Bench(), Model(), Head()
    for _ in range(4):
        bench.call(encoder, Tensor(8))
        bench.call(head, Tensor(8))
    assert bench.counted == [8, 8, 8]
    bench.counter.at_exit()
    assert bench.said[-1] == {"counted": "Model", "calls": 3, "warmup_calls": 2, "calls_not_counted": {"Head": 3}}
    assert bench.told == ["--count-calls counted the calls of Model; not added: Head (3)"]


def test_two_models_of_one_class_in_a_thread_are_two_models() -> None:
    bench, first, second = Bench(), Model(), Model()
    for _ in range(3):
        bench.call(first, Tensor(2))
        bench.call(second, Tensor(2))
    assert bench.counted == [2, 2]


def test_a_reference_that_is_called_once_is_not_the_model() -> None:
    bench, reference, model = Bench(), Head(), Model()
    for _ in range(1):
        bench.call(reference, Tensor(1))
    for _ in range(3):
        bench.call(model, Tensor(4))
    assert bench.counted == [4, 4]


def test_when_the_model_is_gone_the_next_takes_its_place() -> None:
    bench, model = Bench(), Model()
    for _ in range(3):
        bench.call(model, Tensor(1))
    model = Head()
    for _ in range(3):
        bench.call(model, Tensor(9))
    assert bench.counted == [1, 1, 9, 9]


def test_replicas_in_other_threads_are_counted() -> None:
    bench = Bench()
    models = [Model() for _ in range(4)]
    begin = threading.Barrier(4)

    def work(model: Model) -> None:
        begin.wait()
        for _ in range(6):
            bench.call(model, Tensor(3))

    threads = [threading.Thread(target=work, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.counted == [3] * 20
    assert bench.said.count("ready") == 1


def test_one_model_in_many_threads_is_warmed_up_once() -> None:
    bench, model = Bench(), Model()
    for _ in range(5):
        thread = threading.Thread(target=bench.call, args=(model, Tensor(1)))
        thread.start()
        thread.join()
    assert len(bench.counted) == 4


def test_a_compiled_model_and_its_original_are_one() -> None:
    bench, model = Bench(), Model()
    bench.call(model, Tensor(1))
    compiled = OptimizedModule(model)
    bench.call(compiled, Tensor(2))
    bench.call(compiled, Tensor(3))
    assert bench.counted == [2, 3]


def test_modules_without_weights_are_no_models_but_scripts_are() -> None:
    bench = Bench(warmup_calls=0)
    bench.call(Model(weights=False), Tensor(1))
    bench.call(Script(), Tensor(2))
    assert bench.counted == [2]


def test_training_is_left_alone_and_told() -> None:
    bench, model = Bench(grad=True), Model(training=True)
    for _ in range(3):
        bench.call(model, Tensor(1))
    bench.counter.at_exit()
    assert bench.counted == []
    assert bench.told == [
        "--count-calls counted nothing: 3 calls of a model in training mode; only inference is counted"
    ]


def test_validation_between_training_is_work() -> None:
    bench, model = Bench(warmup_calls=0), Model()
    bench.call(model, Tensor(4))
    model.training, bench.grad = True, True
    bench.call(model, Tensor(5))
    model.training = False
    bench.call(model, Tensor(6))
    assert bench.counted == [4, 6]


def test_a_call_that_fails_is_not_counted() -> None:
    bench, model = Bench(warmup_calls=0), Model()

    def fail(*_: object) -> object:
        raise ValueError

    with pytest.raises(ValueError):
        bench.counter.handle(fail, model, (Tensor(1),), {}, False)
    assert bench.counted == []


def test_only_warm_up_is_said_to_be_only_warm_up() -> None:
    bench = Bench(warmup_calls=3)
    bench.call(Model(), Tensor(1))
    bench.counter.at_exit()
    assert bench.told == ["--count-calls counted nothing: 1 call of a model, all of them warm-up (--warmup-calls 3)"]


def test_what_the_script_counts_itself_is_left_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    bench, model = Bench(warmup_calls=0), Model()
    script = ModuleType("a_script")
    (tmp_path / "script.py").write_text("worker.ready()")
    worker = bench.counter._worker_of()
    vars(script).update(worker=worker, __file__=str(tmp_path / "script.py"))
    monkeypatch.setitem(__import__("sys").modules, "a_script", script)
    bench.call(model, Tensor(1))
    bench.counter.at_exit()
    assert bench.said == []
    assert bench.told == ["--count-calls left the counting to the script: a_script calls worker.ready()"]
    (tmp_path / "script.py").write_text("print(worker.index)")
    other = Bench(warmup_calls=0)
    vars(script).update(worker=other.counter._worker_of())
    other.call(model, Tensor(1))
    assert other.counted == [1]


@pytest.mark.parametrize(
    ("args", "kwargs", "items"),
    [
        ((Tensor(8, 3),), {}, 8),
        ((), {"input_ids": Tensor(4, 3), "attention_mask": Tensor(5, 3)}, 4),
        (({"input_ids": Tensor(6, 2)},), {}, 6),
        (((Tensor(7, 2), Tensor(9)),), {}, 7),
        (([Tensor(3, 10, 10), Tensor(3, 20, 20)],), {}, 2),
        (({"a": {"b": [1, Tensor(4)]}},), {}, 4),
        ((Tensor(),), {}, 1),
        ((1, "text", None), {"x": Tensor(5)}, 5),
        ((), {}, 1),
        (("text",), {}, 1),
        (([],), {}, 1),
    ],
)
def test_items_are_the_first_dimension_of_the_first_tensor(args: Any, kwargs: Any, items: int) -> None:
    assert items_of(Tensor, args, kwargs) == items


def test_a_structure_that_holds_itself_ends() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert items_of(Tensor, (endless,), {}) == 1


def test_what_is_no_batch_of_ids_has_no_tokens() -> None:
    assert new_tokens(Model(), (), {}, "text") == 0
    assert new_tokens(Model(), (), {}, SimpleNamespace(sequences=None)) == 0


def test_a_warm_up_that_the_script_names_ends_with_the_start_before_the_script_looks_at_its_clock() -> None:
    bench, model = Bench(warmup_calls=2, start_after_warmup=True), Model()
    for size in (1, 2):
        bench.call(model, Tensor(size))
    assert bench.said == ["warming up", "ready"]  # while the script has nothing else to do
    for size in (3, 4):
        bench.call(model, Tensor(size))
    assert bench.said == ["warming up", "ready", (3, 0), (4, 0)]


def test_a_start_that_came_is_not_given_again_where_another_model_is_counted() -> None:
    bench = Bench(warmup_calls=1, start_after_warmup=True)
    first, second = Head(), Model()
    bench.call(first, Tensor(1))
    for _ in range(3):
        bench.call(second, Tensor(4))
    assert bench.said.count("ready") == 1
    assert bench.counted == [4, 4]


class Packed:
    """What a quantisation leaves in place of parameters."""

    _packed_params = object()


def weightless(*modules: object) -> Model:
    model = Model(weights=False)
    model.parts = modules
    return model


class Buffer(Tensor):
    def __init__(self, *shape: int, floating: bool) -> None:
        super().__init__(*shape)
        self.floating = floating

    def is_floating_point(self) -> bool:
        return self.floating


def module(*buffers: Buffer, **attributes: object) -> SimpleNamespace:
    return SimpleNamespace(buffers=lambda recurse: iter(buffers if not recurse else ()), **attributes)


@pytest.mark.parametrize(
    ("part", "counted"),
    [
        (Packed(), [2]),
        (module(Buffer(4, 4, floating=False)), [2]),
        (module(weight=Tensor(4, 4)), [2]),
        (module(Buffer(4, 4, floating=True)), []),  # the window of a spectrogram, the class weights of a loss
        (module(Buffer(4, floating=False), mean=Tensor(3)), []),
        (module(), []),
    ],
)
def test_weights_that_are_no_parameters_make_a_model_too(part: object, counted: list[int]) -> None:
    bench = Bench(warmup_calls=0)
    bench.call(weightless(part), Tensor(2))
    assert bench.counted == counted
    bench.counter.at_exit()
    assert ("no module with weights was called, only Model (1)" in str(bench.said)) == (not counted)


def test_that_nothing_was_counted_makes_the_workers_results_invalid() -> None:
    bench = Bench()
    bench.call(Model(), Tensor(1))
    bench.counter.at_exit()
    why = "--count-calls counted nothing: 1 call of a model, all of them warm-up (--warmup-calls 1)"
    assert bench.said == ["warming up", f"invalid: {why}"]


def test_a_script_that_called_no_model_is_told_so_without_an_import_from_its_folder() -> None:
    bench = Bench()
    bench.counter.at_exit()
    assert bench.said == []  # the launcher says it
    assert bench.told == ["--count-calls counted nothing: no model (torch.nn.Module) was called in this process"]
