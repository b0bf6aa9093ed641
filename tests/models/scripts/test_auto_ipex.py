"""What --auto-ipex optimises and what it leaves alone, with stand-ins for torch, IPEX and the worker's channel."""

from __future__ import annotations

import contextlib
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ipexlaunch.errors import RequestError
from ipexlaunch.models.scripts.auto_ipex import EXIT_REFUSED, AutoIpex
from ipexlaunch.models.scripts.runner_arguments import ScriptOptions

FP32, BF16 = "torch.float32", "torch.bfloat16"


class Tensor:
    pass


class Script:
    """What torch.jit makes."""


class Model:
    """A module with one weight."""

    def __init__(self, dtype: str = FP32, *, weights: int = 1, training: bool = False, device: str = "cpu") -> None:
        self.weight = SimpleNamespace(dtype=dtype, device=SimpleNamespace(type=device), is_floating_point=lambda: True)
        self.weights = weights
        self.training = training

    def parameters(self) -> list[Any]:
        return [self.weight] * self.weights

    def modules(self) -> list[Any]:
        return [self]


class OptimizedModule(Model):
    pass


class Frozen(Model, Script):
    pass


class Converter:
    """Stands for models/run/optimise_on_first_call.py: a marked result instead of a faster one."""

    def __init__(self, refuses: bool = False, wrong: str = "") -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refuses = refuses
        self.is_wrong = wrong

    def optimise(self, model: Any, original: Any, args: Any, kwargs: Any, **how: Any) -> Any:
        if self.refuses:
            raise RequestError("optimise Model by IPEX in bf16", "it refused: because", "leave out --auto-ipex")
        self.asked.append((type(model).__name__, how))
        return SimpleNamespace(
            how="converted", notes=["a note"], call=lambda _, args, kwargs: ("optimised", args, kwargs)
        )

    def wrong(self, reference: Any, result: Any, dtype: str) -> tuple[str, str]:
        assert reference == "as it is"
        return f"compared {result[0]} in {dtype}", self.is_wrong


class Bench:
    def __init__(self, converter: Converter | None = None, **options: Any) -> None:
        self.said: list[Any] = []
        self.told: list[str] = []
        self.converter = converter or Converter()
        worker = ModuleType("stand_in_for_worker")
        vars(worker).update(
            phase=self.said.append, invalid=self.said.append, tell=lambda **facts: self.said.append(facts)
        )
        torch = SimpleNamespace(
            Tensor=Tensor,
            float32=FP32,
            no_grad=contextlib.nullcontext,
            jit=SimpleNamespace(ScriptModule=Script),
            random=SimpleNamespace(fork_rng=lambda devices: contextlib.nullcontext(devices)),
        )
        self.auto = AutoIpex(
            ScriptOptions(auto_ipex=True, **options),
            lambda: worker,
            lambda: torch,
            lambda: self.converter,
            self.told.append,
        )

    def call(self, model: Any, *args: Any, generates: bool = False, **kwargs: Any) -> Any:
        def original(*_: Any, **__: Any) -> str:
            return "as it is"

        self.auto.prepare(original, model, args, kwargs, generates)
        return self.auto.run(original, model, *args, **kwargs)


def test_a_model_is_optimised_once_checked_and_told() -> None:
    bench, model = Bench(dtype="bf16", graph=False), Model()
    inputs = Tensor()
    for _ in range(3):
        assert bench.call(model, inputs, mask=1) == ("optimised", (inputs,), {"mask": 1})
    assert bench.converter.asked == [("Model", {"dtype": "bf16", "graph": False, "generates": False})]
    assert bench.told == ["--auto-ipex: Model: a note"]
    phase, facts = bench.said
    assert phase == "converting"
    assert facts.pop("convert_s") >= 0
    assert facts == {
        "engine": "ipex", "dtype": "bf16", "optimised": ["Model: converted"], "check": "compared optimised in bf16",
    }  # fmt: skip


def test_every_model_that_is_called_gets_its_turn() -> None:
    bench = Bench()
    for model in (Model(), Model()):
        assert bench.call(model)[0] == "optimised"
    assert len(bench.converter.asked) == 2


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (Frozen(), "it is a graph of torch.jit already"),
        (OptimizedModule(), "torch.compile has it"),
        (Model(BF16), "its weights are in torch.bfloat16, not torch.float32"),
        (Model(device="cuda"), "its weights are not in the cpu's memory"),
    ],
)
def test_what_is_left_alone_is_told_once(model: Any, why: str) -> None:
    bench = Bench()
    assert [bench.call(model), bench.call(model)] == ["as it is"] * 2
    assert bench.told == [f"--auto-ipex: {type(model).__name__} runs as it is: {why}"]
    assert bench.said == []


def test_modules_without_weights_are_not_worth_a_word() -> None:
    bench = Bench()
    assert bench.call(Model(weights=0)) == "as it is"
    assert bench.told == []


def test_what_the_script_has_optimised_itself_stays_as_it_is() -> None:
    bench, model = Bench(), Model()
    theirs = type("Fused", (), {"__module__": "intel_extension_for_pytorch.nn"})()
    model.modules = lambda: [model, theirs]  # type: ignore[method-assign]
    assert bench.call(model) == "as it is"
    assert bench.told == ["--auto-ipex: Model runs as it is: the script has optimised it itself"]


def test_training_runs_as_it_is_and_evaluation_later_is_optimised() -> None:
    bench, model = Bench(), Model(training=True)
    assert [bench.call(model), bench.call(model)] == ["as it is"] * 2
    assert bench.told == ["--auto-ipex: Model is in training mode and runs as it is"]
    model.training = False
    assert bench.call(model)[0] == "optimised"


def test_a_call_that_could_change_its_arguments_is_made_once_only() -> None:
    bench = Bench()
    bench.call(Model(), Tensor(), cache=object())
    bench.call(Model(), Tensor(), generates=True)
    checks = [facts["check"] for facts in bench.said if isinstance(facts, dict)]
    assert checks == [
        "not checked: a call more could change its arguments",
        "not checked: generate makes other texts of equal worth",
    ]
    assert any("are not compared with fp32: a call more could change its arguments" in line for line in bench.told)


def test_a_model_that_is_called_with_a_dictionary_is_checked_too() -> None:
    bench = Bench()
    bench.call(Model(), {"input_ids": Tensor(), "inner": {"mask": Tensor()}})
    assert [facts["check"] for facts in bench.said if isinstance(facts, dict)] == ["compared optimised in fp32"]


def test_wrong_answers_make_the_run_invalid() -> None:
    bench = Bench(Converter(wrong="the worst cosine is 0.2"), dtype="bf16")
    bench.call(Model())
    assert "wrong answers of Model by IPEX in bf16: the worst cosine is 0.2" in bench.said


def test_a_refusal_of_ipex_ends_the_script_with_one_line() -> None:
    bench = Bench(Converter(refuses=True))
    with pytest.raises(SystemExit) as ended:
        bench.call(Model())
    assert ended.value.code == EXIT_REFUSED
    assert bench.told == ["cannot optimise Model by IPEX in bf16: it refused: because; leave out --auto-ipex"]
