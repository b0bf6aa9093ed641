"""Models whose calls are compiled programs: one for batches of any shape, or one for each shape of batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.run.batches import special_tokens
from ipexlaunch.models.run.compile_program import LoadedProgram, compile_program
from ipexlaunch.models.run.decode_step import (
    DecodeStep,
    GreedySearch,
    empty_state,
    example_step,
    state_shapes,
    windows_of,
)
from ipexlaunch.models.run.greedy_search import refuse_other_searches

POSITIONS_AT_ONCE = 64
"""A decoder's state has a multiple of so many positions, so that a few tokens more need no other program."""


ANY_SHAPE = ("bert", "distilbert", "electra", "roberta", "xlm-roberta")
"""Kinds of model, by transformers' names, of which one program takes batches of any shape."""

EXAMPLE_SHAPE = (8, 128)
"""Inputs and tokens that a program of any shape is tuned for."""


def takes_any_shape(candidate: Candidate, config: Any) -> bool:
    """Whether one program takes batches of any shape, and costs nothing for it.

    On one core of a Zen 5 the bf16 program of MiniLM had 0.996, 1.027 and 1.000 times the rate of those of 1 x 16,
    8 x 128 and 32 x 128 alone, the fp32 one 1.000 of 8 x 128. Integers were not measured.

    Args:
        candidate: of engine torch.
        config: of the model.
    """
    return not candidate.scheme and getattr(config, "model_type", "") in ANY_SHAPE


Builder = Callable[[torch.nn.Module, Path], Mapping[str, object]]
"""Compiles a converted model into a file, and tells what must be known to call it."""

Wanted = tuple[Mapping[str, object], Builder]
"""A program: the shapes that it is for, and how it is built where it must be."""

Make = Callable[[Sequence[Wanted]], list[tuple[LoadedProgram, Mapping[str, object]]]]
"""Gives programs, each with what its build told; by prepare_torch.py's cache, which may compile them."""


class _Compiled(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, model: torch.nn.Module, make: Make) -> None:
        """Nothing is compiled yet.

        Args:
            model: its configuration is kept, and the tokens that end a text.
            make: gives the programs.
        """
        super().__init__()
        self.config: Any = getattr(model, "config", None)
        self.generation_config: Any = getattr(model, "generation_config", None)
        self.make = make
        self.programs: list[LoadedProgram] = []
        """So far."""
        self.by_shape: dict[tuple[object, ...], Any] = {}
        """What answers batches of a shape."""


class CompiledModel(_Compiled):
    """Called with a batch, it gives the first field of the model's own result, logits or hidden states, as a tuple."""

    def __init__(self, model: torch.nn.Module, make: Make, *, any_shape: bool) -> None:
        """Nothing is compiled yet.

        Args:
            model: as for CompiledDecoder.
            make: likewise.
            any_shape: have one program for all batches.
        """
        super().__init__(model, make)
        self.any_shape = any_shape

    def program(self, batch: Mapping[str, torch.Tensor]) -> LoadedProgram:
        """The program for a batch of this shape, compiled or loaded at the first such batch."""
        if self._shape(batch) not in self.by_shape:
            self.expect([batch])
        found: LoadedProgram = self.by_shape[self._shape(batch)]
        return found

    def expect(self, batches: Sequence[Mapping[str, torch.Tensor]]) -> None:
        """Make or load the programs for batches of these shapes.

        Args:
            batches: one of each shape.
        """
        new = {self._shape(batch): batch for batch in batches if self._shape(batch) not in self.by_shape}
        wanted = [
            _wanted_of_any_shape(batch, self.config) if self.any_shape else _wanted(batch) for batch in new.values()
        ]
        for shape, (program, _) in zip(new, self.make(wanted), strict=True):
            self.programs.append(program)
            self.by_shape[shape] = program

    def _shape(self, batch: Mapping[str, torch.Tensor]) -> tuple[object, ...]:
        return tuple((name, None if self.any_shape else each.shape, each.dtype) for name, each in batch.items())

    def forward(self, **batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the model says of the batch; only its first field, logits or last_hidden_state, is computed."""
        return tuple(self.program(batch)([tensor.contiguous() for tensor in batch.values()]))


def _wanted(batch: Mapping[str, torch.Tensor]) -> Wanted:
    shapes = {name: [list(tensor.shape), str(tensor.dtype)] for name, tensor in batch.items()}
    return shapes, lambda model, path: _build_forward(model, batch, path)


def _wanted_of_any_shape(batch: Mapping[str, torch.Tensor], config: Any) -> Wanted:
    longest = int(config.max_position_embeddings)
    rows, tokens = EXAMPLE_SHAPE
    # Made again, so that the program is the same whatever batch comes first.
    example = {name: torch.ones(rows, min(tokens, longest), dtype=tensor.dtype) for name, tensor in batch.items()}
    shapes = {name: ["any", str(tensor.dtype)] for name, tensor in batch.items()}
    return shapes, lambda model, path: _build_forward(model, example, path, longest)


class CompiledDecoder(_Compiled):
    """A decoder that generates the likeliest tokens, the prompt and each further token by a compiled program."""

    def search(self, shape: tuple[int, int], new_tokens: int) -> GreedySearch:
        """The search for prompts of this shape with room for so many more tokens.

        Args:
            shape: inputs and tokens of each.
            new_tokens: to generate for each input.
        """
        self.expect([shape], new_tokens)
        found: GreedySearch = self.by_shape[shape]
        return found

    def expect(self, shapes: Sequence[tuple[int, int]], new_tokens: int) -> None:
        """Make or load the programs for prompts of these shapes.

        Args:
            shapes: inputs and tokens of each.
            new_tokens: to generate for each input.

        Raises:
            RequestError: a layer would see less than all of a text.
        """
        new = {}
        window = min(filter(None, windows_of(self.config)), default=None)
        for inputs, tokens in shapes:
            if window is not None and tokens + new_tokens > window:
                raise RequestError(
                    f"generate texts of {tokens + new_tokens} tokens with engine torch",
                    f"the model's attention sees {window} tokens back, which its compiled steps do not know",
                    "use --engine openvino or --engine eager, or ask for fewer tokens",
                )
            found: GreedySearch | None = self.by_shape.get((inputs, tokens))
            if found is None or found.positions < tokens + new_tokens:
                new[inputs, tokens] = -(-(tokens + new_tokens) // POSITIONS_AT_ONCE) * POSITIONS_AT_ONCE
        wanted = []
        for (inputs, tokens), positions in new.items():
            wanted += [_step(inputs, tokens, positions, whole=False), _step(inputs, 1, positions, whole=True)]
        made = self.make(wanted)
        self.programs = list(dict.fromkeys([*self.programs, *(program for program, _ in made)]))
        for (shape, positions), prompt, step in zip(new.items(), made[::2], made[1::2], strict=True):
            self.by_shape[shape] = self._search(shape, positions, prompt, step[0])

    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        max_new_tokens: int,
        min_new_tokens: int = 0,
        do_sample: bool = False,
        num_beams: int = 1,
        logits_processor: Sequence[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = (),
        stopping_criteria: Sequence[Callable[[torch.Tensor, torch.Tensor], object]] = (),
        pad_token_id: int | None = None,
    ) -> torch.Tensor:
        """Like transformers' generate, of which this is the greedy search of a fixed number of tokens.

        Args:
            input_ids: prompts of one length, padded on the left.
            attention_mask: 0 where there is padding; None for no padding.
            max_new_tokens: how many.
            min_new_tokens: as many, or 0 to let a text end.
            do_sample: False.
            num_beams: 1.
            logits_processor: change the scores before the choice.
            stopping_criteria: called after each token; where a text may end, one that says so of every row ends all.
            pad_token_id: not needed.

        Raises:
            RequestError: any other search.
        """
        refuse_other_searches(
            "torch",
            do_sample=do_sample,
            num_beams=num_beams,
            min_new_tokens=min_new_tokens,
            max_new_tokens=max_new_tokens,
        )
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        search = self.search((input_ids.shape[0], input_ids.shape[1]), max_new_tokens)
        return search.generate(
            input_ids,
            attention_mask,
            max_new_tokens,
            processors=logits_processor,
            after_token=stopping_criteria,
            may_end=min_new_tokens == 0,
        )

    def _search(
        self,
        shape: tuple[int, int],
        positions: int,
        made_prompt: tuple[LoadedProgram, Mapping[str, object]],
        step: LoadedProgram,
    ) -> GreedySearch:
        prompt, details = made_prompt
        shapes: Any = details["state"]
        dtype = getattr(torch, str(details["dtype"]))
        return GreedySearch(
            prompt=lambda values: prompt(values)[0].float(),
            step=lambda values: step(values)[0].float(),
            state=empty_state(shape[0], positions, shapes, dtype),
            input_tokens=shape[1],
            # The tokens that end a text, as transformers' min_new_tokens forbids them.
            forbidden=special_tokens(self.generation_config or self.config, "eos_token_id"),
        )


def _step(inputs: int, tokens: int, positions: int, whole: bool) -> Wanted:
    def build(model: torch.nn.Module, path: Path) -> Mapping[str, object]:
        shapes, dtype = state_shapes(model)
        details = {"state": shapes, "dtype": dtype}
        example = example_step(inputs, tokens, positions, shapes, getattr(torch, dtype), whole)
        compile_program(DecodeStep(model, whole), example, path)
        return details

    return {"inputs": inputs, "tokens": tokens, "positions": positions, "whole": whole}, build


class FirstField(torch.nn.Module):  # type: ignore[misc]
    """A model as a function of tensors that gives one tensor."""

    def __init__(self, model: torch.nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = list(names)

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Its logits, or its last hidden states where it has none."""
        model: Any = self.model
        # Also of a decoder without its head: an empty cache that is filled is what converters stumble on.
        more = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}
        made = model(**dict(zip(self.names, tensors, strict=True)), **more)
        logits: torch.Tensor | None = getattr(made, "logits", None)
        return made.last_hidden_state if logits is None else logits


def _build_forward(
    model: torch.nn.Module, batch: Mapping[str, torch.Tensor], path: Path, longest: int | None = None
) -> Mapping[str, object]:
    tensors = [tensor.contiguous() for tensor in batch.values()]
    compile_program(FirstField(model, list(batch)), tensors, path, longest=longest)
    return {}
