"""The part of the table that needs torch: models, checkpoints and texts that cannot be loaded, and engines that refuse.

python -m tests.errors.torch_rows, in the environment with torch; prints what is wrong, nothing where nothing is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ipexlaunch.models.engines.candidate import REFERENCE, floating
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.run.prepare import import_engine
from tests.errors.provoke import Row
from tests.models.engines.hosts import weights

PLACES = ("models/run/",)

BERT = ModelJob(model="random:bert-tiny", task="embed", batch_size=2, input_tokens=8)
LLAMA = ModelJob(model="random:llama-15m", task="generate", batch_size=2, input_tokens=8, new_tokens=4)


def _saved(path: str = "m", job: ModelJob = BERT) -> None:
    from ipexlaunch.models.run.load_model import load_model

    load_model(job, layers=1).model.save_pretrained(path)


def _load_nowhere() -> None:
    from ipexlaunch.models.run.load_model import load_model

    load_model(replace(BERT, model="nowhere"))


def spoilt(change: Callable[[], object], name: str, task: str = "embed") -> Row:
    """A directory with a model, changed."""

    def load() -> None:
        from ipexlaunch.models.run.load_model import load_model

        load_model(replace(BERT, model="m", task=task))  # type: ignore[arg-type]

    return Row(load, before=lambda: (_saved(), change())[0], name=f"load_model({name})")  # type: ignore[func-returns-value]


def _config(**fields: object) -> Callable[[], object]:
    def change() -> None:
        path = Path("m/config.json")
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **fields}))

    return change


def _without_a_weight() -> None:
    from safetensors.torch import load_file, save_file

    kept = {name: each for name, each in load_file("m/model.safetensors").items() if "query.weight" not in name}
    save_file(kept, "m/model.safetensors", {"format": "pt"})


def checkpoint(files: dict[str, str], name: str, *tensors: str) -> Row:
    """A low-precision checkpoint, with tensors of these names."""

    def read() -> None:
        from ipexlaunch.models.run.load_model import read_checkpoint

        read_checkpoint("c")

    def prepare() -> None:
        import torch
        from safetensors.torch import save_file

        if tensors:
            os.makedirs("c", exist_ok=True)
            save_file({each: torch.zeros(1) for each in tensors}, "c/x.safetensors")

    return Row(read, files, before=prepare, name=f"read_checkpoint({name})")


def texts(content: str | bytes, tokenizer: object, name: str) -> Row:
    """Inputs of a file."""

    def read() -> None:
        from ipexlaunch.models.run.batches import make_inputs
        from ipexlaunch.models.run.load_model import load_model

        make_inputs(replace(BERT, text="t"), replace(load_model(BERT), tokenizer=tokenizer))

    return Row(read, {"t": content}, name=f"make_inputs({name})")


def _too_long() -> None:
    from ipexlaunch.models.run.batches import make_inputs
    from ipexlaunch.models.run.load_model import load_model

    job = replace(BERT, input_tokens=99999)
    make_inputs(job, load_model(job))


def _without_tokenizer() -> None:
    from ipexlaunch.models.run.batches import TextBatches
    from ipexlaunch.models.run.load_model import load_model

    _saved()
    loaded = load_model(replace(BERT, model="m"))
    TextBatches(BERT, loaded, None)  # type: ignore[arg-type]


def _odd() -> Any:
    import torch

    class Odd(torch.nn.Module):  # type: ignore[misc]  # without torch it is Any
        """Has no graph."""

        def forward(self, **_: Any) -> Any:
            raise RuntimeError("it has no graph")

    return Odd()


def prepared(candidate: Any, name: str, *, checkpoint: str = "", make: Callable[[], Any] | None = None) -> Row:
    """A model that is made ready for an engine."""

    def act() -> None:
        from ipexlaunch.models.run.batches import make_inputs
        from ipexlaunch.models.run.load_model import load_model
        from ipexlaunch.models.run.prepare import prepare

        loaded = load_model(BERT)
        model, (batch, *_) = make() if make else loaded.model, make_inputs(BERT, loaded).batches
        prepare(model, candidate, batch, "embed", checkpoint=checkpoint)

    return Row(act, name=f"prepare({name})")


def _released() -> None:
    from ipexlaunch.models.run.prepare_torch import _ProgramMaker

    maker: Any = object.__new__(_ProgramMaker)
    maker.model, maker.candidate = None, floating("torch", "fp32")
    maker._converted()


def _windows(**fields: object) -> None:
    from ipexlaunch.models.run.decode_step import windows_of

    windows_of(SimpleNamespace(model_type="mine", num_hidden_layers=1, **fields))


def _beyond_a_window() -> None:
    from ipexlaunch.models.run.compiled_model import CompiledDecoder

    decoder: Any = object.__new__(CompiledDecoder)
    decoder.config = SimpleNamespace(model_type="mine", num_hidden_layers=1, sliding_window=4, layer_types=None)
    decoder.by_shape = {}
    decoder.expect([(1, 8)], 8)


def _beams() -> None:
    from ipexlaunch.models.run.greedy_search import refuse_other_searches

    refuse_other_searches("torch", do_sample=False, num_beams=4, min_new_tokens=0, max_new_tokens=4)


def _device() -> None:
    from ipexlaunch.models.run.prepare import open_device

    open_device("xpu")


def _ipex_that_does_not_load() -> None:
    sys.path.insert(0, os.getcwd())
    try:
        import_engine(floating("ipex", "bf16"))
    finally:
        sys.path.remove(os.getcwd())


def _generate_with_an_encoder() -> None:
    from ipexlaunch.models.run.load_model import load_model

    load_model(replace(BERT, task="generate"))


def _identity() -> Any:
    import openvino

    given = openvino.opset13.parameter([1], openvino.Type.f32)
    return openvino.Model([given], [given])


def _calibrate_on_nothing() -> None:
    from ipexlaunch.models.run.prepare import Calibration
    from ipexlaunch.models.run.quantise_openvino import quantise

    quantise(
        _identity(),
        replace(weights("openvino", "int8"), scheme="static"),
        Calibration(rows=(), words=""),
        generates=False,
    )


def _decoder_without_attention() -> None:
    from ipexlaunch.models.run.paged_decoder import PagedDecoder

    PagedDecoder(_identity(), {}, [])


IPEX = "intel_extension_for_pytorch"
GPTQ = {"c/config.json": json.dumps({"quantization_config": {"quant_method": "gptq", "bits": 4}})}

ROWS = [
    Row(lambda: import_engine(floating("ipex", "bf16")), name="import_engine(ipex)"),
    *(
        Row(_ipex_that_does_not_load, {f"{IPEX}.py": text}, name=f"import_engine(ipex: {text})")
        for text in ("raise ImportError('no such symbol')", "raise SystemExit(1)")
    ),
    Row(_load_nowhere, name="load_model(nowhere)"),
    Row(_generate_with_an_encoder, name="load_model(an encoder that is to generate)"),
    Row(_calibrate_on_nothing, name="quantise(nothing to calibrate on)"),
    Row(_decoder_without_attention, name="PagedDecoder(no attention)"),
    spoilt(lambda: os.unlink("m/config.json"), "no config.json"),
    spoilt(lambda: os.rename("m/model.safetensors", "m/pytorch_model.bin"), "no safetensors"),
    spoilt(lambda: Path("m/config.json").write_text("{"), "a damaged config.json"),
    spoilt(lambda: Path("m/model.safetensors").write_bytes(b"x"), "damaged weights"),
    spoilt(_without_a_weight, "a weight that is missing"),
    spoilt(_config(quantization_config={"quant_method": "gptq", "bits": 4}), "quantised weights"),
    spoilt(_config(is_encoder_decoder=True), "an encoder with a decoder"),
    spoilt(lambda: None, "an encoder that is to generate", "generate"),
    spoilt(lambda: None, "an encoder that is to classify", "classify"),
    spoilt(lambda: Path("m/tokenizer.json").write_text("{"), "a damaged tokenizer"),
    checkpoint({}, "nowhere"),
    checkpoint({}, "nothing that says how", "a.qweight"),
    checkpoint({"c/config.json": "{"}, "a damaged config.json", "a.qweight"),
    checkpoint({"c/quantize_config.json": '{"bits": 8}'}, "8 bits", "a.qweight"),
    checkpoint(GPTQ, "no quantised weight", "a.weight"),
    checkpoint({**GPTQ, "c/x.safetensors": "x"}, "damaged weights"),
    texts("a text\n", None, "no tokenizer"),
    texts(b"\xff\n", object(), "no UTF-8"),
    texts("\n", object(), "no line"),
    Row(_too_long, name="make_inputs(too many tokens)"),
    Row(_without_tokenizer, name="TextBatches(no tokenizer)"),
    Row(_device, name="open_device(xpu)"),
    prepared(REFERENCE, "a checkpoint for eager", checkpoint="c"),
    prepared(weights("eager", "int8"), "int8 for eager"),
    prepared(replace(weights("torch", "int8"), scheme=""), "int8 without a scheme"),
    prepared(replace(weights("torch", "int4"), activations="fp32"), "int4 with fp32"),
    prepared(replace(weights("torch", "int4"), activations="bf16", group_size=7), "groups of 7"),
    prepared(replace(weights("openvino", "int8"), scheme="static"), "nothing to calibrate on"),
    prepared(floating("openvino", "fp32"), "a model that cannot be converted", make=_odd),
    Row(_released, name="ProgramMaker(released)"),
    Row(lambda: _windows(layer_types=["odd_attention"]), name="windows_of(other attention)"),
    Row(_beyond_a_window, name="CompiledDecoder.expect(beyond its window)"),
    Row(_beams, name="refuse_other_searches(beams)"),
]

_REAL = "tests/models/scripts/test_real_ipex.py::test_what_cannot_be_right_is_refused_before_anything_starts"
ELSEWHERE = {
    "models/run/prepare_ipex.py":
        "tests/models/run/test_prepare_ipex.py::test_what_ipex_cannot_do_is_an_error_that_says_what_would_work",
    "models/run/optimise_on_first_call.py": _REAL,
}  # fmt: skip
"""Only IPEX can refuse as IPEX does."""


if __name__ == "__main__":
    from tests.errors.check_rows import problems_of

    import_engine(REFERENCE)
    found = problems_of(sys.modules["__main__"])
    print("\n".join(found))
    sys.exit(bool(found))
