"""Loads a model in fp32 for a task: a transformers directory, or a random one of a published shape. No downloads.

Reads low-precision checkpoints too, GPTQ or AWQ: their 4-bit weights and how they were made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.model_job import ModelJob, Task, default_task, is_random, shape_of

if TYPE_CHECKING:
    import torch

_SPREAD = 0.02
"""Standard deviation of made-up biases and gains: transformers' own of a product's weights."""

_HARMLESS_WHEN_MISSING = ("pooler.",)
"""Weights of these parts feed nothing that a task here uses."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in fp32, in eval mode, with what is known of it."""

    model: torch.nn.Module
    config: Any
    """transformers' configuration."""
    tokenizer: Any
    """The tokenizer of the directory, None where it has none."""
    parameters: int
    """Weights, each counted once where several layers share it."""
    random: bool


def load_model(job: ModelJob, *, layers: int | None = None) -> LoadedModel:
    """Load the job's model for its task, the same weights in every worker.

    Args:
        job: its model, task and seed are used.
        layers: keep only so many of the first layers, for a measurement that needs no whole model; None for all.

    Raises:
        RequestError: no such model, no weights there, or a model that cannot do the task.
    """
    tokenizer = None
    if is_random(job.model):
        model = _build(job, layers)
    else:
        directory = _checked_directory(job.model)
        model = _read(directory, job.task, layers)
        tokenizer = _tokenizer(directory)
    model.eval()
    model.requires_grad_(False)
    # Only generate reads what a decoder keeps of each token; without it there is less to write, and graphs are plain.
    model.config.use_cache = job.task == "generate"
    return LoadedModel(
        model=model,
        config=model.config,
        tokenizer=tokenizer,
        parameters=sum(weight.numel() for weight in model.parameters()),
        random=is_random(job.model),
    )


def _build(job: ModelJob, layers: int | None) -> Any:
    """A model of a published shape, filled by transformers' own initialisation so that activations stay in range."""
    import torch
    from transformers import AutoConfig

    shape = shape_of(job.model)
    if job.task == "generate" and not shape.decoder:
        raise _wrong_task(job.model, job.task, f"{shape.name} is an encoder")
    config = AutoConfig.for_model(shape.model_type, **shape.fields)
    _cut(config, layers)
    _name_padding(config)
    auto = _auto_class(job.task, "generate" if shape.decoder else "embed")
    torch.manual_seed(job.seed)
    model = auto.from_config(config)
    _spread(model)
    # ipex.llm.optimize looks here for the architecture; a directory's config.json has it.
    model.config.architectures = [type(model).__name__]
    return model


def _spread(model: torch.nn.Module) -> None:
    """Leave no bias at zero and no gain at one: no trained model has them, and a compiler fares otherwise with them.

    OpenVINO's calibrated BERT-base shape took 1.15 times as long where they were (8 x 128, VNNI without AMX).
    """
    for weights in model.parameters():
        if weights.dim() == 1:
            weights.data += weights.new_empty(weights.shape).normal_(std=_SPREAD)


SAVED = "give a directory that transformers' save_pretrained wrote"
QUANTISED = "give a directory that GPTQModel, AutoGPTQ or AutoAWQ wrote"
"""What would work in the place of a directory that cannot be loaded."""


def _checked_directory(model: str) -> Path:
    directory = Path(model)
    if not directory.is_dir():
        raise RequestError(f"load the model {model}", "there is no such directory", f"{SAVED}, or random:NAME")
    held = sorted(entry.name for entry in directory.iterdir())
    if "config.json" not in held:
        found = ", ".join(held[:6]) or "nothing"
        raise RequestError(f"load the model {model}", f"it has no config.json; it holds {found}", SAVED)
    if not any(name.endswith(".safetensors") for name in held):
        others = [name for name in held if name.endswith((".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf"))]
        found = f"it has no *.safetensors, only {', '.join(others)}" if others else "it has no weights (*.safetensors)"
        hint = "write them with transformers' save_pretrained(DIR, safe_serialization=True)"
        raise RequestError(f"load the model {model}", found, hint)
    return directory


def _read(directory: Path, task: Task, layers: int | None) -> Any:
    """The directory's model, with every weight that the task needs, in memory of this process."""
    import torch
    import transformers
    from safetensors import SafetensorError

    try:
        config = transformers.AutoConfig.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"load the model {directory}", f"its config.json: {first_line(error)}", SAVED) from error
    architecture = (getattr(config, "architectures", None) or [""])[0]
    if getattr(config, "quantization_config", None) is not None:
        hint = "give the model it was made from as --model, and this directory as --checkpoint (engine ipex)"
        raise RequestError(f"load the model {directory}", "its weights are already quantised", hint)
    made_for = default_task(architecture)
    if getattr(config, "is_encoder_decoder", False):
        raise _wrong_task(str(directory), task, f"{architecture} is an encoder with a decoder")
    if task == "generate" and made_for != task:
        raise _wrong_task(str(directory), task, f"its architecture is {architecture or 'not named in config.json'}")
    if task == "classify" and made_for != task:
        raise _wrong_task(str(directory), task, f"{architecture or 'it'} has no trained classification layer")
    _cut(config, layers)
    _name_padding(config)
    auto = _auto_class(task, made_for)
    version = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    dtype = {"dtype" if version >= (4, 56) else "torch_dtype": torch.float32}
    try:
        model, report = auto.from_pretrained(
            directory, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True, **dtype
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise RequestError(f"load the model {directory}", first_line(error), SAVED) from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(_HARMLESS_WHEN_MISSING))
    if missing:
        few = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise RequestError(
            f"load the model {directory}",
            f"its files lack weights of {type(model).__name__}: {few}",
            "give the --task that it was saved for, or put the missing file back",
        )
    _own_memory(model)
    return model


def _auto_class(task: Task, made_for: Task) -> Any:
    import transformers

    wanted = made_for if task == "forward" else task
    if wanted == "classify":
        return transformers.AutoModelForSequenceClassification
    if wanted == "generate":
        return transformers.AutoModelForCausalLM
    return transformers.AutoModel


def _cut(config: Any, layers: int | None) -> None:
    if layers is None or layers >= config.num_hidden_layers:
        return
    config.num_hidden_layers = layers
    kinds = getattr(config, "layer_types", None)
    if isinstance(kinds, list):
        config.layer_types = kinds[:layers]


def _name_padding(config: Any) -> None:
    """Decoders often have no padding token, and classify no more than one input without."""
    if getattr(config, "pad_token_id", None) is None:
        end = getattr(config, "eos_token_id", None)
        config.pad_token_id = end[0] if isinstance(end, list) else end


def _own_memory(model: torch.nn.Module) -> None:
    """Copy every weight into this process's own memory.

    A weight that is a view of a mapped file lies in the page cache, on the node of whoever read the file first, and no
    memory policy of ours moves it (llama.cpp issue 13335).
    """
    for weight in [*model.parameters(), *model.buffers()]:
        weight.data = weight.data.clone()


def _tokenizer(directory: Path) -> Any:
    if not any((directory / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt")):
        return None
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise RequestError(f"load the tokenizer of {directory}", first_line(error), SAVED) from error


def _wrong_task(model: str, task: Task, found: str) -> RequestError:
    works = {
        "generate": "generate needs a decoder with its output layer (...ForCausalLM)",
        "classify": "classify needs a model fine-tuned for it (...ForSequenceClassification)",
    }
    return RequestError(f"{task} with {model}", found, works.get(task, "encoders and decoders are known here"))


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


METHODS = ("gptq", "awq")
BITS = 4
"""The only width of these formats that IPEX loads."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Quantised weights by their names in the model."""

    weights: dict[str, torch.Tensor]
    method: str
    group_size: int
    """Weights that share a scale; -1 for a whole channel."""
    act_order: bool
    """GPTQ went through the channels by the size of their activations (desc_act)."""


def read_checkpoint(directory: str) -> Checkpoint:
    """Read the directory that GPTQModel, AutoGPTQ, AutoAWQ or transformers wrote.

    Args:
        directory: with *.safetensors, and config.json (quantization_config) or quantize_config.json.

    Raises:
        RequestError: not such a directory, or not of 4 bits.
    """
    wanted = f"load the low-precision checkpoint {directory}"
    path = Path(directory)
    files = sorted(path.glob("*.safetensors"))
    if not files:
        found = "it has no *.safetensors" if path.is_dir() else "there is no such directory"
        raise RequestError(wanted, found, QUANTISED)
    about = _about(path, wanted)
    method = str(about.get("quant_method", "gptq")).lower()
    bits = about.get("bits", about.get("w_bit"))
    if method not in METHODS or bits != BITS:
        raise RequestError(wanted, f"it is {method} of {bits} bits", f"GPTQ and AWQ of {BITS} bits can be loaded")
    return Checkpoint(
        weights=_weights(files, wanted),
        method=method,
        group_size=int(about.get("group_size", about.get("q_group_size", -1))),
        act_order=bool(about.get("desc_act", False)),
    )


def _about(path: Path, wanted: str) -> dict[str, Any]:
    """How the weights were quantised: from the model's configuration, or from a file of its own."""
    for name, key in (("config.json", "quantization_config"), ("quantize_config.json", ""), ("quant_config.json", "")):
        try:
            document = json.loads((path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise RequestError(wanted, f"its {name}: {error}", QUANTISED) from error
        about = document.get(key) if key else document
        if isinstance(about, dict):
            return about
    found = "neither its config.json (quantization_config) nor a quantize_config.json says how it was quantised"
    raise RequestError(wanted, found, QUANTISED)


def _weights(files: list[Path], wanted: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights: dict[str, torch.Tensor] = {}
    try:
        for file in files:
            weights |= load_file(file)
    except (OSError, SafetensorError) as error:
        raise RequestError(wanted, str(error).splitlines()[0], QUANTISED) from error
    if not any(name.endswith(".qweight") for name in weights):
        raise RequestError(wanted, "none of its weights is quantised (no *.qweight)", QUANTISED)
    return weights
