"""Loads a model in fp32 for a task: a transformers directory, or a random one of a published shape. No downloads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.model_job import ModelJob, Task
from ipexlaunch.models.engines.model_shapes import is_random, shape_of

if TYPE_CHECKING:
    import torch

_HARMLESS_WHEN_MISSING = ("pooler.",)
"""Weights of these parts feed nothing that a task here uses."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model in fp32, in eval mode, with what is known of it."""

    model: torch.nn.Module
    config: Any
    """transformers' configuration."""
    tokenizer: Any
    """The tokenizer of the directory, None where it has none."""
    parameters: int
    """Weights, each counted once where several layers share it."""
    random: bool
    seconds: float
    """To build or to read it."""


def load_model(job: ModelJob, *, layers: int | None = None) -> Loaded:
    """Load the job's model for its task, the same weights in every worker.

    Args:
        job: its model, task and seed are used.
        layers: keep only so many of the first layers, for a measurement that needs no whole model; None for all.

    Raises:
        RequestError: no such model, no weights there, or a model that cannot do the task.
    """
    began = monotonic()
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
    return Loaded(
        model=model,
        config=model.config,
        tokenizer=tokenizer,
        parameters=sum(weight.numel() for weight in model.parameters()),
        random=is_random(job.model),
        seconds=monotonic() - began,
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
    auto = _auto_class(job.task, shape.decoder, classifier=job.task == "classify")
    torch.manual_seed(job.seed)
    model = auto.from_config(config)
    # ipex.llm.optimize looks here for the architecture; a directory's config.json has it.
    model.config.architectures = [type(model).__name__]
    return model


def _checked_directory(model: str) -> Path:
    directory = Path(model)
    if not directory.is_dir():
        hint = "give a directory that transformers' save_pretrained wrote, or random:NAME"
        raise RequestError(f"load the model {model}", "there is no such directory", hint)
    held = sorted(entry.name for entry in directory.iterdir())
    if "config.json" not in held:
        found = ", ".join(held[:6]) or "nothing"
        raise RequestError(f"load the model {model}", f"it has no config.json; it holds {found}")
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
        raise RequestError(f"load the model {directory}", f"its config.json: {_first_line(error)}") from error
    architecture = (getattr(config, "architectures", None) or [""])[0]
    if getattr(config, "quantization_config", None) is not None:
        hint = "give the model it was made from as --model, and this directory as --checkpoint (engine ipex)"
        raise RequestError(f"load the model {directory}", "its weights are already quantised", hint)
    classifier = architecture.endswith("ForSequenceClassification")
    decoder = architecture.endswith(("ForCausalLM", "LMHeadModel")) and not architecture.startswith("Bert")
    if getattr(config, "is_encoder_decoder", False):
        raise _wrong_task(str(directory), task, f"{architecture} is an encoder with a decoder")
    if task == "generate" and not decoder:
        raise _wrong_task(str(directory), task, f"its architecture is {architecture or 'not named in config.json'}")
    if task == "classify" and not classifier:
        raise _wrong_task(str(directory), task, f"{architecture or 'it'} has no trained classification layer")
    _cut(config, layers)
    _name_padding(config)
    auto = _auto_class(task, decoder, classifier)
    version = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    dtype = {"dtype" if version >= (4, 56) else "torch_dtype": torch.float32}
    try:
        model, report = auto.from_pretrained(
            directory, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True, **dtype
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise RequestError(f"load the model {directory}", _first_line(error)) from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(_HARMLESS_WHEN_MISSING))
    if missing:
        few = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise RequestError(
            f"load the model {directory}",
            f"its files lack weights of {type(model).__name__}: {few}",
            "it was saved for another task, or a file is missing",
        )
    _own_memory(model)
    return model


def _auto_class(task: Task, decoder: bool, classifier: bool) -> Any:
    import transformers

    if task == "classify" or (task == "forward" and classifier):
        return transformers.AutoModelForSequenceClassification
    if decoder and task in ("generate", "forward"):
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
        raise RequestError(f"load the tokenizer of {directory}", _first_line(error)) from error


def _wrong_task(model: str, task: Task, found: str) -> RequestError:
    works = {
        "generate": "generate needs a decoder with its output layer (...ForCausalLM)",
        "classify": "classify needs a model fine-tuned for it (...ForSequenceClassification)",
    }
    return RequestError(f"{task} with {model}", found, works.get(task, "encoders and decoders are known here"))


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
