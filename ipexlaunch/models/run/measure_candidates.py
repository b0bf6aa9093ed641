"""Measures candidates on one model in this process: prepared, warmed up, checked, and timed in turn with eager fp32."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from statistics import median
from time import monotonic
from typing import Any

import torch

from ipexlaunch.models.engines.candidate import REFERENCE, Candidate
from ipexlaunch.models.engines.measurement import Measurement
from ipexlaunch.models.engines.model_job import (
    FEW_LAYERS,
    LARGEST_WHOLE_MODEL,
    MeasuringJob,
    ModelJob,
    is_random,
    shape_of,
)
from ipexlaunch.models.run.batches import Inputs, calibration_of, make_inputs
from ipexlaunch.models.run.load_model import LoadedModel, load_model
from ipexlaunch.models.run.prepare import Prepared, import_engine, prepare
from ipexlaunch.models.run.process_cost import cpu_seconds, growth, own_bytes
from ipexlaunch.models.run.run_job import checked_batches
from ipexlaunch.models.run.run_task import Reference, compare, run_task, take_reference
from ipexlaunch.models.run.timing import PairedTiming, time_interleaved

MOST_TOKENS = 32
"""No more are generated to measure; the rest of a longer text is reckoned to go on at the pace of its last tokens."""

FIRST_LINE = 200
"""Characters of an error's message that are kept."""


def measure_candidates(
    measuring: MeasuringJob, wait: Callable[[], None], say: Callable[[str], None]
) -> Iterator[list[Measurement]]:
    """Measure one candidate after the other, and give everything measured so far after each.

    A candidate that cannot run is a row with its reason.

    Args:
        measuring: what, and for how long.
        wait: waits for the other workers; called just before each candidate is timed, prepared or not.
        say: told what this is busy with.

    Raises:
        RequestError: the model cannot be loaded for its task.
    """
    session = _Session(measuring, say)
    for number, candidate in enumerate(measuring.candidates, start=1):
        session.measure(candidate, f"{candidate.name} ({number} of {len(measuring.candidates)})", wait)
        yield session.measurements()


@dataclass
class _Row:
    found: Measurement
    in_turn: PairedTiming | None = None

    def note(self, **found: Any) -> None:
        self.found = replace(self.found, **found)


class _Session:
    """The model, its reference answers and the rows so far."""

    def __init__(self, measuring: MeasuringJob, say: Callable[[str], None]) -> None:
        self.say = say
        self.seconds = measuring.seconds
        self.one_stretch = measuring.one_stretch
        self.job = measuring.job
        say("loading")
        import_engine(REFERENCE)
        layers = measuring.layers if measuring.layers is not None else _layers_to_measure(self.job)
        before = own_bytes()
        self.loaded: LoadedModel = load_model(self.job, layers=layers)
        self.inputs: Inputs = make_inputs(self.job, self.loaded)
        whole = layers is None
        self.notes = () if whole else (f"measured by its first {self.loaded.config.num_hidden_layers} layers",)
        self.reference = Prepared(model=self.loaded.model, candidate=REFERENCE)
        self.answers: Reference = take_reference(self.loaded.model, self.job.task, checked_batches(self.inputs))
        self.call_reference = _caller(self.reference, self.job, self.inputs)
        self.call_reference()
        self.model_bytes = growth(before, own_bytes())
        self.rows: list[_Row] = []

    def measure(self, candidate: Candidate, name: str, wait: Callable[[], None]) -> None:
        """Add the row of one candidate."""
        row = _Row(Measurement(candidate=candidate, random_weights=self.loaded.random))
        self.rows.append(row)
        call: Callable[[], float] | None = None
        first_s = 0.0
        before = None
        try:
            self.say(f"preparing {name}")
            import_engine(candidate)
            before = own_bytes()
            call, first_s = self._prepared(candidate, row)
        except Exception as error:  # what an engine raises is the finding: the row says it
            row.note(problem=_told(error))
        wait()
        if call is not None:  # all have mapped what they share
            whole = candidate == REFERENCE
            row.note(memory_bytes=self.model_bytes if whole else growth(before, own_bytes()))
        try:
            if call is not None:
                self.say(f"measuring {name}")
                row.in_turn = time_interleaved(
                    self.call_reference, call, self.seconds, first_s, one_stretch=self.one_stretch
                )
        except Exception as error:
            row.note(problem=_told(error))
        del call
        torch._dynamo.reset()
        gc.collect()

    def _prepared(self, candidate: Candidate, row: _Row) -> tuple[Callable[[], float], float]:
        """A way to make one call, and the seconds of one, warmed up; the answers are compared on the way."""
        began, spent = monotonic(), cpu_seconds()
        prepared = self.reference if candidate == REFERENCE else self._prepare(candidate)
        call = _caller(prepared, self.job, self.inputs)
        call()
        row.note(prepare_s=monotonic() - began, prepare_cpu_s=cpu_seconds() - spent)
        row.note(answers=compare(prepared, self.answers))
        row.note(notes=(*self.notes, *prepared.notes))
        prepared.release()
        first_s = call()
        return call, first_s

    def _prepare(self, candidate: Candidate) -> Prepared:
        takes_checkpoint = candidate.engine == "ipex" and candidate.dtype == "int4"
        return prepare(
            copy.deepcopy(self.loaded.model),
            candidate,
            self.inputs.batches[0],
            self.job.task,
            calibration=calibration_of(self.job, self.loaded, candidate),
            checkpoint=self.job.checkpoint if takes_checkpoint else "",
            new_tokens=min(self.job.new_tokens, MOST_TOKENS),
            cache=self.job.cache,
            cache_limit_bytes=self.job.cache_limit_bytes,
            say=self.say,
        )

    def measurements(self) -> list[Measurement]:
        """The rows, as if all had been timed at one moment: drift is taken out by the reference beside each."""
        calls = [taken for row in self.rows if row.in_turn for taken in row.in_turn.reference_s]
        base = median(calls) if calls else None
        return [self._measurement(row, base) for row in self.rows]

    def _measurement(self, row: _Row, base: float | None) -> Measurement:
        if row.in_turn is None or base is None or row.found.problem:
            return row.found
        # The reference against itself is 1 by definition; what was timed of it only tells the noise.
        itself = row.found.candidate == REFERENCE
        relative = 1.0 if itself else row.in_turn.relative
        return replace(
            row.found,
            call_s=base * relative,
            reference_s=base,
            items_per_s=self.job.batch_size / (base * relative),
            reference_items_per_s=self.job.batch_size / base,
            calls=row.in_turn.calls,
            spread=None if itself else row.in_turn.spread,
        )


def _caller(prepared: Prepared, job: ModelJob, inputs: Inputs) -> Callable[[], float]:
    """A function that runs the next batch and returns the seconds that the whole job's call takes."""
    batches = cycle(inputs.batches)
    tokens = min(job.new_tokens, MOST_TOKENS)

    def call() -> float:
        done = run_task(prepared, job.task, next(batches), tokens)
        if done.first_token_s is None or not done.next_token_s:
            return done.seconds
        return done.first_token_s + (job.new_tokens - 1) * median(done.next_token_s)

    return call


def _layers_to_measure(job: ModelJob) -> int | None:
    """FEW_LAYERS for a large model, counted without making or reading its weights."""
    import torch._dynamo  # torch 2.8 cannot import it, as a model's module does, while the default device is "meta"
    from transformers import AutoConfig, AutoModel

    if is_random(job.model):
        shape = shape_of(job.model)
        config = AutoConfig.for_model(shape.model_type, **shape.fields)
    else:
        try:
            config = AutoConfig.from_pretrained(job.model, local_files_only=True)
        except (OSError, ValueError):
            return None  # loading it will say what is wrong
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    parameters = sum(weight.numel() for weight in model.parameters())
    return FEW_LAYERS if parameters > LARGEST_WHOLE_MODEL else None


def _told(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip()[:FIRST_LINE]}" if lines else type(error).__name__
