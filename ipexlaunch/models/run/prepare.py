"""Imports an engine, and makes of a loaded model what a candidate runs: by its engine, or on an accelerator.

Accelerators are reached through torch.xpu or torch.cuda. Not run on hardware: the tests put a stand-in in the place of
torch.xpu.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import metadata
from time import monotonic
from typing import TYPE_CHECKING, Any

from ipexlaunch.errors import LaunchError, RequestError
from ipexlaunch.errors.how_to_add import how_to_add
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import CACHE_LIMIT_BYTES, Device, Task
from ipexlaunch.models.run.load_model import first_line
from ipexlaunch.models.user_directory import name_where_nobody_knows_one

if TYPE_CHECKING:
    import torch

    from ipexlaunch.models.run.paged_decoder import PagedDecoder

Batch = Mapping[str, "torch.Tensor"]
"""input_ids and attention_mask, as a tokenizer gives them."""

Context = Callable[[], AbstractContextManager[object]]

TORCH_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""torch's names of the floating-point types."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Texts that stand for those of the job: the ranges of activations are found on them."""

    rows: tuple[Batch, ...]
    """Each by itself and without padding, which would widen the ranges."""
    words: str
    """Which texts they are, for the report."""


@dataclass(kw_only=True)
class Prepared:
    """A model as one candidate runs it, ready to be called."""

    model: torch.nn.Module
    """Called like the transformers model that it was made from; its result has its fields, or is a tuple of them."""
    candidate: Candidate
    context: Context = nullcontext
    """Entered around every call (autocast); inference mode is the caller's."""
    place: Callable[[Batch], Batch] = lambda batch: batch
    """Puts a call's inputs where the model is."""
    fetch: Callable[[torch.Tensor], torch.Tensor] = lambda answer: answer
    """Brings an answer into the host's memory."""
    settle: Callable[[], None] = lambda: None
    """Waits until what was asked of an accelerator is done; before a time is noted."""
    expect: Callable[[Sequence[Batch]], None] = lambda _: None
    """Told one batch of each further shape that will come: what must be compiled for them is, the programs shared out
    among the workers that are told so at the same time."""
    release: Callable[[], None] = lambda: None
    """Gives back what only batches of further shapes would need; call it when every shape has been run."""
    pools: bool = False
    """Whether the model gives unit vectors instead of hidden states (task embed)."""
    paged: PagedDecoder | None = None
    """A decoder that rows enter and leave between any two tokens; None where an engine takes whole batches."""
    convert_s: float = 0.0
    """Seconds of casting, packing and quantising; compilation happens in the first calls and is not in it."""
    notes: tuple[str, ...] = ()
    """What the engine did otherwise than asked (an unknown architecture that it only half optimises)."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What really runs: layers replaced, kernels, versions, for the report."""


def prepare(
    model: torch.nn.Module,
    candidate: Candidate,
    example_inputs: Batch,
    task: Task,
    *,
    calibration: Calibration | None = None,
    checkpoint: str = "",
    new_tokens: int = 64,
    cache: str = "",
    cache_limit_bytes: int = CACHE_LIMIT_BYTES,
    say: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Make of a loaded model what the candidate runs.

    Args:
        model: in fp32 and eval mode; it is changed or taken apart, so pass a copy to keep it.
        candidate: the engine and the numbers.
        example_inputs: one batch of the shape that will be run.
        task: what the calls will be.
        calibration: texts like those of the job, which int8-calibrated needs (engine openvino).
        checkpoint: directory of a low-precision checkpoint (GPTQ or AWQ) of the model, for engine ipex; "" for none.
        new_tokens: how many will be generated for each input (engine torch compiles for them).
        cache: directory of compiled programs (engines torch and openvino); "" for none.
        cache_limit_bytes: what is built there makes room for itself above this.
        say: told "waiting for compilation" and "compiling" when they begin.

    Raises:
        RequestError: the engine cannot do what the candidate asks.
    """
    if checkpoint and candidate.engine != "ipex":
        raise RequestError(
            f"load the low-precision checkpoint {checkpoint} with engine {candidate.engine}",
            "GPTQ and AWQ checkpoints are loaded through IPEX",
            "use --engine ipex --dtype int4",
        )
    if candidate.engine == "eager":
        return _cast(model, candidate)
    # Imported when asked for: each imports what its engine needs.
    engine = importlib.import_module(f"ipexlaunch.models.run.prepare_{candidate.engine}")
    if candidate.engine == "ipex":
        more: dict[str, object] = {"checkpoint": checkpoint}
    elif candidate.engine == "openvino":
        more = {"calibration": calibration, "cache": cache, "cache_limit_bytes": cache_limit_bytes, "say": say}
    else:
        more = {"new_tokens": new_tokens, "cache": cache, "cache_limit_bytes": cache_limit_bytes, "say": say}
    prepared: Prepared = engine.prepare(model, candidate, example_inputs, task, **more)
    return prepared


def torch_dtype(dtype: str) -> torch.dtype:
    """torch's own type of a floating-point dtype."""
    import torch

    found: torch.dtype = getattr(torch, TORCH_DTYPES[dtype])
    return found


def _cast(model: torch.nn.Module, candidate: Candidate) -> Prepared:
    """Engine eager: every operation runs in the type that the weights are cast to, as torch has it.

    Raises:
        RequestError: an integer candidate, which torch does not do without torchao.
    """
    if candidate.dtype not in TORCH_DTYPES:
        raise RequestError(
            f"run {candidate.name}",
            "engine eager is torch without quantisation, it runs fp32, bf16 and fp16",
            "use --engine torch or --engine ipex for integers",
        )
    began = monotonic()
    cast = model.to(torch_dtype(candidate.dtype))
    return Prepared(model=cast, candidate=candidate, convert_s=monotonic() - began)


@dataclass(frozen=True, kw_only=True)
class OpenDevice:
    """The one accelerator that this process sees."""

    kind: Device
    name: str
    place: torch.device
    synchronize: Callable[[], None]
    """Returns when everything that was asked of it is done."""


def open_device(kind: Device, backend: Any = None, place: torch.device | None = None) -> OpenDevice:
    """The accelerator that the launcher has left visible to this process.

    Args:
        kind: xpu or cuda.
        backend: torch.xpu or torch.cuda; a stand-in in tests.
        place: where tensors are put; the first device of that kind where none is given.

    Raises:
        LaunchError: torch sees no such device; with what it is built for.
    """
    import torch

    backend = getattr(torch, kind, None) if backend is None else backend
    if backend is None or not backend.is_available():
        needed = "Intel GPUs and their driver" if kind == "xpu" else "CUDA and the NVIDIA driver"
        hint = f"install a torch for {needed}, or name another interpreter with --python"
        raise LaunchError(f"run on {kind}", f"torch {torch.__version__} of {sys.executable} sees none", hint)
    name, place = backend.get_device_name(0), place or torch.device(kind, 0)
    return OpenDevice(kind=kind, name=name, place=place, synchronize=backend.synchronize)


def prepare_on_device(model: torch.nn.Module, candidate: Candidate, device: OpenDevice) -> Prepared:
    """Cast the weights and put them on the accelerator; inputs go there, answers come back, inside the call.

    Args:
        model: in fp32; it is cast and moved in place.
        candidate: a floating-point one of engine eager.
        device: where it runs.

    Raises:
        RequestError: an integer candidate.
    """
    began = monotonic()
    prepared = _cast(model, candidate)
    prepared.model = prepared.model.to(device.place)
    device.synchronize()
    prepared.place = lambda batch: {name: tensor.to(device.place) for name, tensor in batch.items()}
    prepared.fetch = lambda answer: answer.to("cpu")  # a copy to the host waits for what it copies
    prepared.settle = device.synchronize
    prepared.convert_s = monotonic() - began
    prepared.facts = {**prepared.facts, "device": device.kind, "device_name": device.name}
    return prepared


_TELL_NOTHING = {
    # IPEX replaces operators of torch, and torch would tell each at length.
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
_STAY_LOCAL = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Nothing is ever downloaded: a model is a directory or random."""

_TALKATIVE = ("torchao", "torch.utils._pytree", "torch.utils.cpp_extension", "transformers")
"""Loggers that warn at import of kernels for other devices and of each other's deprecations."""

_IPEX_MODULE = "intel_extension_for_pytorch"


def import_engine(candidate: Candidate) -> dict[str, str]:
    """Import what the candidate needs, before anything is loaded, and tell the versions.

    Args:
        candidate: what will run.

    Returns:
        Version of each package by its name on the package index.

    Raises:
        LaunchError: a package is missing or cannot be loaded; the message has the command that installs it.
    """
    os.environ.update(name_where_nobody_knows_one())  # an empty variable is no name
    for name, value in {**_TELL_NOTHING, **_STAY_LOCAL}.items():
        os.environ.setdefault(name, value)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    # They warn of each other's deprecations, call after call; nobody who runs a model can do anything about that.
    warnings.filterwarnings("ignore", module=r"(torch|torchao|transformers|intel_extension_for_pytorch)(\.|$)")
    modules = ["torch", *[_IPEX_MODULE] * (candidate.engine == "ipex"), "transformers"]  # IPEX wants torch to be there
    modules += ["torchao"] * (candidate.engine == "torch" and bool(candidate.scheme))
    modules += [candidate.backend] * bool(candidate.backend)
    if candidate.engine == "openvino":
        modules += ["openvino", *["nncf"] * bool(candidate.scheme)]
        # Without this package, which both take as one that may be missing, neither tells anybody what runs here.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as the import system has it
    packages = {module: module.replace("_", "-") for module in modules}
    missing = [package for module, package in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise _not_installed(candidate, f"{sys.executable} has no {' and no '.join(missing)}")
    for module, package in packages.items():
        if module == "nncf":  # half a processor second, and who starts from the cache needs nothing of it
            continue
        try:
            importlib.import_module(module)
            if module == _IPEX_MODULE:  # not before: its logger is of a class of its own
                logging.getLogger("IPEX").setLevel(logging.ERROR)
        except (ImportError, OSError) as error:
            found = f"{package} of {sys.executable} cannot be loaded: {first_line(error)}"
            raise _not_installed(candidate, found) from error
        except SystemExit as error:  # IPEX exits on a processor or a torch that it does not know
            raise _not_installed(candidate, f"{package} of {sys.executable} refused to load") from error
    return {package: metadata.version(package) for package in packages.values()}


def _not_installed(candidate: Candidate, found: str) -> LaunchError:
    engine = candidate.engine
    command = f"{how_to_add('torch')}, or {how_to_add('ipex')}" if engine == "eager" else how_to_add(engine)
    if candidate.backend:
        command = f"pip install {candidate.backend}"
    return LaunchError(
        f"run engine {engine}", found, f"install it there with {command}, or name another interpreter with --python"
    )
