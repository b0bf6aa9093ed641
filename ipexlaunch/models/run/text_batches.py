"""Makes batches of a model from texts, and plain answers from what it gave: vectors, labels, texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.batch_shapes import BatchShapes
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.engines.openai_request import BadRequest
from ipexlaunch.models.run.load_model import Loaded
from ipexlaunch.models.run.make_inputs import Batch

PLACES = 7
"""Decimal places of vectors and scores: fp32 has no more for numbers up to 1, and the text is half as long."""

BYTES_OFFSET = 3
"""A random model has no tokenizer: its tokens are the bytes of the text above the few special ones."""


class TextBatches:
    """Turns texts into batches of one model, and its answers into what JSON can hold."""

    def __init__(self, job: ModelJob, loaded: Loaded, shapes: BatchShapes) -> None:
        """Look whether the model has what the task needs.

        Args:
            job: its task and tokens are used.
            loaded: the model.
            shapes: what batches are padded to.

        Raises:
            RequestError: a model with weights of its own has no tokenizer.
        """
        self.job = job
        self.shapes = shapes
        self.cut = 0
        """Texts that were longer than the longest shape."""
        self._tokenizer = loaded.tokenizer
        self._config = loaded.config
        if self._tokenizer is None and not loaded.random:
            raise RequestError(
                f"run texts through {job.model}", "it has no tokenizer", "save the model's tokenizer beside it"
            )

    def batch(self, texts: Sequence[str]) -> Batch:
        """The texts as one batch; decoders are padded on the left, because they go on from the last position.

        Args:
            texts: at most as many as the shapes have rows.
        """
        return self.batch_of([self._tokens(text) for text in texts])

    def batch_of(self, tokens: Sequence[list[int]]) -> Batch:
        """The same of tokens.

        Args:
            tokens: of each text, none longer than the longest shape.
        """
        rows, length = self.shapes.fitting([len(ids) for ids in tokens])
        pad = self._special("pad_token_id", "eos_token_id")
        ids = torch.full((rows, length), pad, dtype=torch.long)
        mask = torch.zeros((rows, length), dtype=torch.long)
        for row, found in enumerate(tokens):
            place = slice(length - len(found), length) if self.job.task == "generate" else slice(0, len(found))
            ids[row, place] = torch.tensor(found, dtype=torch.long)
            mask[row, place] = 1
        mask[len(tokens) :, -1 if self.job.task == "generate" else 0] = 1  # rows that only fill the shape
        return {"input_ids": ids, "attention_mask": mask}

    def answers(self, answer: torch.Tensor, count: int) -> list[Any]:
        """What the model gave for the first `count` rows: a vector, {label, score}, or {text, tokens} each.

        Args:
            answer: of `run_task`.
            count: texts of the batch.
        """
        answer = answer[:count]
        if self.job.task == "generate":
            return [self._text(ids) for ids in answer.tolist()]
        if self.job.task == "classify":
            scores = torch.softmax(answer.double(), dim=-1)
            best = scores.argmax(dim=-1)
            names: dict[int, str] = getattr(self._config, "id2label", None) or {}
            return [
                {"label": names.get(label, str(label)), "score": round(float(row[label]), PLACES)}
                for label, row in zip(best.tolist(), scores, strict=True)
            ]
        vectors: list[Any] = torch.round(answer.double(), decimals=PLACES).tolist()
        return vectors

    def tokens(self, text: str) -> list[int]:
        """All tokens of a text, with those that the model puts around one; at least one."""
        if self._tokenizer is None:
            room = self._config.vocab_size - BYTES_OFFSET
            found = [BYTES_OFFSET + byte % room for byte in text.encode(errors="surrogatepass")]
        else:
            found = self._tokenizer(text, add_special_tokens=True)["input_ids"]
        return found or [self._special("bos_token_id", "eos_token_id", "pad_token_id")]

    def chat_tokens(self, messages: Sequence[Mapping[str, object]]) -> list[int]:
        """The tokens of a chat by the model's own template, up to where the model goes on.

        Raises:
            BadRequest: it has no template, or the template refuses these messages.
        """
        if getattr(self._tokenizer, "chat_template", None) is None:
            raise BadRequest("the model's tokenizer has no chat template", "messages")
        try:
            text = self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is a program of the model's author: jinja2 passes on what it raises
            raise BadRequest(f"the model's chat template refuses the messages: {error}", "messages") from None
        # The template writes the tokens around a text itself.
        found: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return found or [self._special("bos_token_id", "eos_token_id", "pad_token_id")]

    @property
    def vocabulary(self) -> int:
        """How many tokens the model knows."""
        return int(self._config.vocab_size)

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end a text, by the model and by its tokenizer."""
        named = getattr(self._tokenizer, "eos_token_id", None)
        return frozenset((*_numbers(getattr(self._config, "eos_token_id", None)), *_numbers(named)))

    def text(self, ids: list[int]) -> str:
        """What tokens say; those of a random model are its bytes."""
        if self._tokenizer is None:
            return bytes((token - BYTES_OFFSET) % 256 for token in ids if token >= BYTES_OFFSET).decode(
                errors="replace"
            )
        decoded: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return decoded

    def _tokens(self, text: str) -> list[int]:
        longest, found = self.shapes.longest, self.tokens(text)
        if len(found) > longest:
            self.cut += 1
            # A prompt is continued at its end; other texts keep their beginning, and their closing token.
            found = found[-longest:] if self.job.task == "generate" else [*found[: longest - 1], found[-1]]
        return found

    def _text(self, ids: list[int]) -> dict[str, object]:
        """What was generated up to the token that ends a text."""
        ends = self.ends
        stop = next((place for place, token in enumerate(ids) if token in ends), len(ids))
        if self._tokenizer is None:
            return {"ids": ids[:stop], "tokens": stop}
        return {"text": self._tokenizer.decode(ids[:stop], skip_special_tokens=True), "tokens": stop}

    def _special(self, *names: str) -> int:
        for holder in (self._tokenizer, self._config):
            for name in names:
                for token in _numbers(getattr(holder, name, None)):
                    return token
        return 0


def _numbers(given: object) -> list[int]:
    """Ids of special tokens: none, one or several."""
    listed = given if isinstance(given, list | tuple) else [given]
    return [token for token in listed if isinstance(token, int) and token >= 0]
