"""Prepares a model for engine torch: cast or quantised, exported, compiled ahead of time with frozen weights.

Compiled programs come from a CompileCache; where one lies there already the model is not even converted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import torch

import ipexlaunch
from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import Task
from ipexlaunch.models.run.compile_cache import Build, CompileCache, Key, Program
from ipexlaunch.models.run.compile_program import SETTINGS, WEIGHTS, LoadedProgram, passes_of
from ipexlaunch.models.run.compiled_model import Builder, CompiledDecoder, CompiledModel, Wanted, takes_any_shape
from ipexlaunch.models.run.identify_weights import identify_weights
from ipexlaunch.models.run.prepare import Batch, Prepared
from ipexlaunch.models.run.quantise import check, convert

_CAPS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS", "DNNL_CPU_ISA_HINTS")
"""Variables that keep torch and oneDNN from instruction sets that the processor has."""

_PACKAGES = ("torch", "torchao", "transformers")

PROGRAM = "program"
"""What a program's folder is called in the cache; part of the key, as earlier releases kept a package, program.pt2."""


def prepare(
    model: torch.nn.Module,
    candidate: Candidate,
    example_inputs: Batch,
    task: Task,
    *,
    new_tokens: int,
    cache: str,
    cache_limit_bytes: int,
    say: Callable[[str], None],
) -> Prepared:
    """Compile the model for batches of the example's shape, or load it from the cache.

    Batches of another shape are compiled when they come. Arguments as those of models/run/prepare.py; the model is
    converted in place when it must be compiled.

    Raises:
        RequestError: a candidate that torch has no kernels for.
    """
    check(candidate)
    maker = _ProgramMaker(model, candidate, cache, cache_limit_bytes, say)
    if task == "generate":
        decoder = CompiledDecoder(model, maker.make)

        def expect(batches: Sequence[Batch]) -> None:
            decoder.expect([tuple(batch["input_ids"].shape) for batch in batches], new_tokens)

        expect([example_inputs])
        return maker.prepared(decoder, expect)
    compiled = CompiledModel(model, maker.make, any_shape=takes_any_shape(candidate, getattr(model, "config", None)))
    compiled.expect([example_inputs])
    return maker.prepared(compiled, compiled.expect)


class _ProgramMaker:
    """Makes the programs of one model and one candidate, and knows what that took."""

    def __init__(
        self, model: torch.nn.Module, candidate: Candidate, cache: str, limit_bytes: int, say: Callable[[str], None]
    ) -> None:
        self.model: torch.nn.Module | None = model
        self.candidate = candidate
        self.identity = identify_weights(model)
        self.say = say
        self.cache = CompileCache(cache, say, limit_bytes=limit_bytes) if cache else None
        self.converted: dict[str, object] | None = None
        self.convert_s = 0.0
        self.made: list[Program] = []
        self.loaded: dict[Path, LoadedProgram] = {}

    def make(self, wanted: Sequence[Wanted]) -> list[tuple[LoadedProgram, Mapping[str, object]]]:
        """The programs for these shapes, each with what its build told; of those that are missing other processes may
        build some, while we build others."""
        if self.cache is not None:
            return self._make(wanted, self.cache)
        # A library that is mapped needs its file no more.
        with TemporaryDirectory(prefix="ipexlaunch-programs-") as folder:
            return self._make(wanted, CompileCache(folder, self.say))

    def _make(self, wanted: Sequence[Wanted], cache: CompileCache) -> list[tuple[LoadedProgram, Mapping[str, object]]]:
        asked = [(self._key(shapes), self._build(build)) for shapes, build in wanted]
        ahead = [cache.build_ahead(key, build) for key, build in asked]
        found = [cache.program(key, build) for key, build in asked]
        self.made += [program for program in (*ahead, *found) if program is not None]
        for program in found:
            if program.path not in self.loaded:
                self.loaded[program.path] = LoadedProgram(program.path / PROGRAM)
        return [(self.loaded[program.path], program.details) for program in found]

    def _build(self, build: Builder) -> Build:
        def built(place: Path) -> Mapping[str, object]:
            with passes_of(self.candidate.backend):
                return build(self._converted(), place / PROGRAM)

        return built

    def _key(self, shapes: Mapping[str, object]) -> Key:
        backend = self.candidate.backend
        knobs = {
            name: value for name, value in sorted(os.environ.items()) if name.startswith(("ZENTORCH_", "ZENDNNL_"))
        }
        more = {"backend": {backend: _version(backend), **knobs}} if backend else {}
        return {
            **more,
            "weights": self.identity,
            "candidate": self.candidate.fields,
            "kernels": identify_kernels(),
            "shapes": shapes,
            "form": PROGRAM,
        }

    def prepared(self, compiled: torch.nn.Module, expect: Callable[[Sequence[Batch]], None]) -> Prepared:
        """The model with what is known of it by now, and how the programs of further shapes are made."""
        facts: dict[str, object] = {
            "cache": "hit" if all(program.cache == "hit" for program in self.made) else "miss",
            "compile_s": round(max(0.0, sum(program.compile_s for program in self.made) - self.convert_s), 3),
            "compile_wait_s": round(sum(program.wait_s for program in self.made), 3),
            **(self.converted or {}),
        }
        return Prepared(
            model=compiled,
            candidate=self.candidate,
            expect=expect,
            release=self.release,
            convert_s=self.convert_s,
            facts=facts,
        )

    def release(self) -> None:
        """Let go of the model: the programs hold weights of their own, and the model's are in fp32."""
        self.model = None

    def _converted(self) -> torch.nn.Module:
        if self.model is None:
            raise RequestError(
                f"compile {self.candidate.name} for another shape of batch",
                "the model it is compiled from was given back when all known shapes had run",
                "run every shape before Prepared.release()",
            )
        if self.converted is None:
            began = monotonic()
            self.converted = convert(self.model, self.candidate)
            self.convert_s = monotonic() - began
        return self.model


def identify_kernels() -> dict[str, object]:
    """Everything outside a model that decides which kernels a program has.

    The number of threads is written into generated loops (pytorch issue 184444), so it is part of it.
    """
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "ipexlaunch": ipexlaunch.__version__,
        **{name: _version(name) for name in _PACKAGES},
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": {name: value for name, value in sorted(capabilities.items()) if value},
        "caps": {name: os.environ[name] for name in _CAPS if name in os.environ},
        "threads": torch.get_num_threads(),
        "settings": SETTINGS,
        "layout": WEIGHTS,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
