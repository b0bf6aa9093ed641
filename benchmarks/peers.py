"""Other engines, each by the calls that its own documentation shows, with one thread asked for in its own way.

benchmarks/one_engine.py runs one of them in a process of `make env-peers`. What they convert is kept beside the models.
"""

import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from one_engine import Engine, Work


def pooled(hidden: Any, mask: Any) -> Any:
    """A unit vector for each input: the mean over its tokens, normalised."""
    import numpy

    weights = mask[..., None].astype("float32")
    mean = (hidden * weights).sum(1) / weights.sum(1)
    return mean / numpy.linalg.norm(mean, axis=1, keepdims=True)


def encoder(work: Work, hidden: Callable[[Any, Any], Any], note: str = "") -> Engine:
    """The engine of a function from token ids and their mask to hidden states."""
    import numpy

    masks = numpy.ones_like(work.ids[0])

    def call(number: int) -> Any:
        return pooled(hidden(work.ids[number % len(work.ids)], masks), masks)

    return Engine(call=call, note=note)


def eager_model(work: Work) -> Any:
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    torch.set_num_threads(1)
    auto = AutoModelForCausalLM if work.shape.new else AutoModel
    return auto.from_pretrained(work.model, local_files_only=True).eval().requires_grad_(False)


def kept(work: Work, name: str, make: Callable[[Path], None]) -> Path:
    """What was converted before, or is now; made under another name first, so that half of one is never used."""
    place = work.folder / "converted" / f"{work.shape.model}-{name}"
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        half = place.with_name(f"half-{os.getpid()}-{place.name}")
        make(half)
        half.rename(place)
    return place


# OpenVINO alone: convert_model, compile_model with a hint; nncf's compress_weights and quantize.


def openvino(work: Work, form: str) -> Engine:
    import numpy
    import openvino as ov

    def convert(folder: Path) -> None:
        import torch

        ids = torch.from_numpy(work.ids[0])
        example = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        ov.save_model(ov.convert_model(eager_model(work), example_input=example), folder / "model.xml",
                      compress_to_fp16=False)  # fmt: skip

    def quantise(folder: Path) -> None:
        import nncf

        model = ov.Core().read_model(kept(work, "openvino", convert) / "model.xml")
        if form == "int8":
            model = nncf.compress_weights(model)
        else:
            lines = [{"input_ids": line[None], "attention_mask": numpy.ones_like(line[None])}
                     for line in work.calibration_ids()]  # fmt: skip
            model = nncf.quantize(model, nncf.Dataset(lines), model_type=nncf.ModelType.TRANSFORMER,
                                  subset_size=len(lines))  # fmt: skip
        ov.save_model(model, folder / "model.xml", compress_to_fp16=False)

    name = {"int8": "openvino-int8", "int8 calibrated": f"openvino-calibrated-{work.shape.tokens}"}.get(
        form, "openvino"
    )
    path = kept(work, name, convert if name == "openvino" else quantise) / "model.xml"
    hint = "f32" if form == "fp32" else "bf16"
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1}
    compiled = ov.Core().compile_model(str(path), "CPU", options)
    return encoder(work, lambda ids, mask: compiled({"input_ids": ids, "attention_mask": mask})[0])


# OpenVINO GenAI: its pipeline with continuous batching, as it is, of a decoder in the form that optimum-intel writes.
# The product's own conversion makes it, for optimum-intel wants an older transformers.


def genai(work: Work, form: str) -> Engine:
    import numpy
    import openvino as ov
    import openvino_genai

    def convert(folder: Path) -> None:
        import nncf
        import openvino_tokenizers
        from transformers import AutoTokenizer

        model = importlib.import_module("ipexlaunch.models.run.convert_decoder").convert_decoder(eager_model(work))
        if form == "int8":
            model = nncf.compress_weights(model)
        elif form == "int4":
            model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT4_SYM, group_size=32, ratio=1.0)
        ov.save_model(model, folder / "openvino_model.xml", compress_to_fp16=False)
        # One must be there; prompts are given as tokens, so any will do.
        tokenizer = AutoTokenizer.from_pretrained(work.folder / "minilm")
        both = openvino_tokenizers.convert_tokenizer(tokenizer, with_detokenizer=True)
        for name, each in zip(("openvino_tokenizer.xml", "openvino_detokenizer.xml"), both, strict=True):
            ov.save_model(each, folder / name)
        for name in ("config.json", "generation_config.json"):
            shutil.copy2(Path(work.model, name), folder)

    path = kept(work, f"genai-{form}", convert)
    told = {"INFERENCE_PRECISION_HINT": "f32" if form == "fp32" else "bf16", "INFERENCE_NUM_THREADS": 1}
    pipeline = openvino_genai.ContinuousBatchingPipeline(str(path), openvino_genai.SchedulerConfig(), "CPU", told)
    config = openvino_genai.GenerationConfig(max_new_tokens=work.shape.new, ignore_eos=True)

    def generate(number: int) -> Any:
        prompts = [ov.Tensor(numpy.ascontiguousarray(row[None])) for row in work.ids[number % len(work.ids)]]
        return pipeline.generate(prompts, [config] * len(prompts))

    def logits() -> Any:
        """Of the same file by its runtime: the pipeline gives none."""
        compiled = ov.Core().compile_model(str(path / "openvino_model.xml"), "CPU", told)
        rows, length = work.led.shape
        inputs = {"input_ids": work.led, "attention_mask": numpy.ones_like(work.led),
                  "position_ids": numpy.tile(numpy.arange(length), (rows, 1)),
                  "beam_idx": numpy.arange(rows, dtype="int32")}  # fmt: skip
        return compiled(inputs)["logits"][:, -work.shape.new :]

    return Engine(call=generate, logits=logits)


# ONNX Runtime: torch's exporter, its own dynamic quantisation, one thread by its option (docs/binding.md).


def onnxruntime(work: Work, form: str) -> Engine:
    import onnxruntime as ort

    def convert(folder: Path) -> None:
        import torch

        class Hidden(torch.nn.Module):  # type: ignore[misc] # torch is not there where types are checked
            def __init__(self, model: Any) -> None:
                super().__init__()
                self.model = model

            def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
                return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

        folder.mkdir()
        # One of 1 would be taken for a fixed size.
        example = torch.full((2, 64), 2000)
        names, axes = ["input_ids", "attention_mask"], {0: "rows", 1: "tokens"}
        torch.onnx.export(Hidden(eager_model(work)), (example, torch.ones_like(example)), str(folder / "model.onnx"),
                          dynamo=True, input_names=names, output_names=["hidden"], dynamic_shapes=(axes, axes),
                          external_data=False)  # fmt: skip

    def quantise(folder: Path) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        folder.mkdir()
        quantize_dynamic(kept(work, "onnx", convert) / "model.onnx", folder / "model.onnx", weight_type=QuantType.QInt8)

    path = kept(work, "onnx", convert) if form == "fp32" else kept(work, "onnx-int8", quantise)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return encoder(work, lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0])


# CTranslate2: its converter of transformers' models, its Encoder and Generator.


def ctranslate2(work: Work, form: str) -> Engine:
    import ctranslate2 as ct2
    import numpy

    def convert(folder: Path) -> None:
        ct2.converters.TransformersConverter(work.model).convert(str(folder), quantization=form)

    path = str(kept(work, f"ctranslate2-{form}", convert))
    options: dict[str, Any] = {"device": "cpu", "compute_type": form, "inter_threads": 1, "intra_threads": 1}
    if not work.shape.new:
        model = ct2.Encoder(path, **options)
        return encoder(work, lambda ids, _: numpy.asarray(model.forward_batch(ids.tolist()).last_hidden_state))
    generator, new = ct2.Generator(path, **options), work.shape.new
    prompts = [[[f"t{token}" for token in row] for row in batch] for batch in work.ids.tolist()]

    def generate(number: int) -> Any:
        return generator.generate_batch(prompts[number % len(prompts)], max_length=new, min_length=new,
                                        sampling_topk=1, include_prompt_in_result=False)  # fmt: skip

    def logits() -> Any:
        return numpy.asarray(generator.forward_batch(work.led.tolist(), return_log_probs=False))[:, -new:]

    return Engine(call=generate, logits=logits)


# sentence-transformers: the module's own forward, which `encode` calls between tokenizer and list.


def sentence_transformers(work: Work, dtype: str) -> Engine:
    import numpy
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(work.model, device="cpu", model_kwargs={"dtype": dtype}, local_files_only=True)
    batches = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in torch.from_numpy(work.ids)]

    def call(number: int) -> Any:
        with torch.inference_mode():
            return numpy.asarray(model(dict(batches[number % len(batches)]))["sentence_embedding"].float())

    return Engine(call=call)


# llama.cpp: llama-batched-bench makes the prompts and the new tokens itself, and gives no logits.


def gguf(work: Work, folder: Path) -> None:
    """The decoder as llama.cpp reads it, in fp32."""
    import gguf as written
    from safetensors.numpy import load_file

    config = json.loads((work.folder / work.shape.model / "config.json").read_text(encoding="utf-8"))
    folder.mkdir()
    out = written.GGUFWriter(folder / "model.gguf", "llama")
    heads, layers = config["num_attention_heads"], config["num_hidden_layers"]
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_block_count(layers)
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_head_count(heads)
    out.add_head_count_kv(config["num_key_value_heads"])
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_rope_dimension_count(config["hidden_size"] // heads)
    out.add_vocab_size(config["vocab_size"])
    out.add_tokenizer_model("none")
    names = written.get_tensor_name_map(written.MODEL_ARCH.LLAMA, layers)
    for name, weight in load_file(work.folder / work.shape.model / "model.safetensors").items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            # Its rotation pairs neighbours, that of transformers pairs halves.
            rows = weight.shape[0]
            weight = weight.reshape(heads, 2, rows // heads // 2, -1).swapaxes(1, 2).reshape(rows, -1)
        out.add_tensor(names.get_name(name, try_suffixes=(".weight",)), weight)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def llama_cpp(work: Work, form: str) -> Engine:
    programs = Path(sys.executable).parent

    def quantise(folder: Path) -> None:
        folder.mkdir()
        words: list[str | Path] = [programs / "llama-quantize", kept(work, "gguf", partial(gguf, work)) / "model.gguf",
                 folder / "model.gguf", form.upper(), "1"]  # fmt: skip
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=2)

    path = kept(work, f"gguf-{form}", quantise) / "model.gguf"
    shape = work.shape

    def one(times: int) -> float:
        words: list[str | Path] = [programs / "llama-batched-bench", "-m", path, "-t", "1", "-tb", "1", "-c", "4096",
                                   "-npp", str(shape.tokens), "-ntg", str(shape.new),
                                   "-npl", ",".join([str(shape.rows)] * times)]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def turn(count: int) -> float:
        """Of a run with so many more: loading is in both."""
        return one(1 + count) - one(1)

    return Engine(call=lambda _: None, turn=turn, note="a slot: llama-batched-bench")


ENCODERS: dict[str, Callable[[Work], Engine]] = {
    **{f"OpenVINO {form}": partial(openvino, form=form) for form in ("fp32", "bf16", "int8", "int8 calibrated")},
    **{f"ONNX Runtime {form}": partial(onnxruntime, form=form) for form in ("fp32", "int8")},
    **{f"CTranslate2 {form}": partial(ctranslate2, form=kind)
       for form, kind in (("fp32", "float32"), ("int8", "int8_float32"))},
    **{f"sentence-transformers {form}": partial(sentence_transformers, dtype=dtype)
       for form, dtype in (("fp32", "float32"), ("bf16", "bfloat16"))},
}  # fmt: skip

DECODERS: dict[str, Callable[[Work], Engine]] = {
    **{f"CTranslate2 {form}": ENCODERS[f"CTranslate2 {form}"] for form in ("fp32", "int8")},
    **{f"OpenVINO GenAI {form}": partial(genai, form=form) for form in ("bf16", "int8", "int4")},
    **{f"llama.cpp {form}": partial(llama_cpp, form=form) for form in ("q8_0", "q4_0")},
}

PEERS = ENCODERS | DECODERS
