"""Makes batches of made-up tokens, of lines of a text file (which it reads), or of texts; and plain answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import BatchShapes, ModelJob
from ipexlaunch.models.engines.openai_request import BadRequest
from ipexlaunch.models.run.load_model import LoadedModel
from ipexlaunch.models.run.prepare import Batch, Calibration

if TYPE_CHECKING:
    import torch

DISTINCT_BATCHES = 16
"""So many different batches are used in turn, so that no call finds its activations in the caches of the one before."""

PLACES = 7
"""Decimal places of vectors and scores: fp32 has no more for numbers up to 1, and the text is half as long."""

BYTES_OFFSET = 3
"""A random model has no tokenizer: its tokens are the bytes of the text above the few special ones."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Batches of one shape, with what they hold."""

    batches: tuple[Batch, ...]
    tokens: tuple[int, ...]
    """Tokens of each batch, without padding."""
    text: str
    """For the report: which text this is."""


def make_inputs(job: ModelJob, loaded: LoadedModel, *, batches: int = DISTINCT_BATCHES) -> Inputs:
    """Make different batches of exactly `input_tokens` tokens for each input, the same in every worker.

    Args:
        job: its text, seed, batch size, tokens and task are used.
        loaded: the model they are for.
        batches: how many.

    Raises:
        RequestError: more tokens than the model has positions, or a text file that cannot be used.
    """
    _check_length(job, loaded.config)
    if job.text:
        made = _tokenised(job, loaded, batches)
        text = job.text_name or job.text
    else:
        made = _generated(job, loaded.config, batches)
        text = f"generated, seed {job.seed}"
    return Inputs(batches=made, tokens=tuple(int(batch["attention_mask"].sum()) for batch in made), text=text)


CALIBRATED_ON = 64
"""Texts; more of them change the worst cosine of MiniLM by less than its spread between texts."""


def calibration_of(job: ModelJob, loaded: LoadedModel, candidate: Candidate) -> Calibration | None:
    """The job's first texts for a candidate that finds ranges on some: the same whatever the size of a batch is.

    Args:
        job: its text, seed, tokens and task are used.
        loaded: the model they are for.
        candidate: what it is prepared for.

    Raises:
        RequestError: see `make_inputs`.
    """
    if candidate.scheme != "static":
        return None
    made = make_inputs(replace(job, batch_size=CALIBRATED_ON), loaded, batches=1)
    (batch,) = made.batches
    real = [mask.bool() for mask in batch["attention_mask"]]
    rows = [
        {name: tensor[place][kept].unsqueeze(0) for name, tensor in batch.items()} for place, kept in enumerate(real)
    ]
    return Calibration(rows=tuple(rows), words=made.text)


def _check_length(job: ModelJob, config: Any) -> None:
    wanted = job.input_tokens + (job.new_tokens if job.task == "generate" else 0)
    positions = getattr(config, "max_position_embeddings", None)
    # RoBERTa and its kin count positions from the padding index on.
    if positions and getattr(config, "model_type", "") in ("roberta", "xlm-roberta"):
        positions -= 2
    if positions and wanted > positions:
        new = f" and {job.new_tokens} new ones" if job.task == "generate" else ""
        asked = f"run inputs of {job.input_tokens} tokens{new}"
        raise RequestError(asked, f"the model has {positions} positions", "ask for fewer tokens")


def _generated(job: ModelJob, config: Any, batches: int) -> tuple[Batch, ...]:
    """Tokens drawn evenly from the vocabulary without the special ones, which would end or mask a text."""
    import torch

    special = special_tokens(config, "pad_token_id", "bos_token_id", "eos_token_id")
    allowed = torch.ones(config.vocab_size, dtype=torch.bool)
    allowed[[token for token in special if token < config.vocab_size]] = False
    vocabulary = allowed.nonzero().flatten()
    generator = torch.Generator().manual_seed(job.seed)
    shape = (batches, job.batch_size, job.input_tokens)
    tokens = vocabulary[torch.randint(len(vocabulary), shape, generator=generator)]
    return tuple({"input_ids": ids.contiguous(), "attention_mask": torch.ones_like(ids)} for ids in tokens)


def _tokenised(job: ModelJob, loaded: LoadedModel, batches: int) -> tuple[Batch, ...]:
    """The file's lines from its beginning, and again from there where it is short; cut or padded to one length."""
    if loaded.tokenizer is None:
        raise RequestError(
            f"use the text {job.text_name or job.text}",
            f"{job.model} has no tokenizer",
            "leave the text away for generated tokens, or give a directory that has a tokenizer",
        )
    lines = _lines(job.text)
    tokenizer = loaded.tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # A decoder goes on from its last position, which must not be padding.
    tokenizer.padding_side = "left" if job.task == "generate" else "right"
    endless = cycle(lines)
    made = []
    for _ in range(batches):
        part = list(islice(endless, job.batch_size))
        batch = tokenizer(part, padding="max_length", truncation=True, max_length=job.input_tokens, return_tensors="pt")
        made.append({name: batch[name] for name in ("input_ids", "attention_mask")})
    return tuple(made)


def _lines(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"use the text {path}", str(error), "give a file of UTF-8 that can be read") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise RequestError(f"use the text {path}", "it has no line with text", "give one input a line")
    return lines


class TextBatches:
    """Turns texts into batches of one model, and its answers into what JSON can hold."""

    def __init__(self, job: ModelJob, loaded: LoadedModel, shapes: BatchShapes) -> None:
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
        self._holders = (loaded.tokenizer, loaded.config)
        if self._tokenizer is None and not loaded.random:
            wanted = f"run texts through {job.model}"
            raise RequestError(wanted, "it has no tokenizer", "save the model's tokenizer beside it")

    def batch(self, texts: Sequence[str]) -> Batch:
        """The texts as one batch; decoders are padded on the left, because they go on from the last position.

        Args:
            texts: at most as many as the shapes have rows.
        """
        return self.batch_of([self.shortened(text) for text in texts])

    def batch_of(self, tokens: Sequence[list[int]]) -> Batch:
        """The same of tokens.

        Args:
            tokens: of each text, none longer than the longest shape.
        """
        import torch

        rows, length = self.shapes.fitting([len(ids) for ids in tokens])
        pad = self._special("pad_token_id", "eos_token_id")
        left = self.job.task == "generate"
        ids = torch.full((rows, length), pad, dtype=torch.long)
        mask = torch.zeros((rows, length), dtype=torch.long)
        for row, found in enumerate(tokens):
            place = slice(length - len(found), length) if left else slice(0, len(found))
            ids[row, place] = torch.tensor(found, dtype=torch.long)
            mask[row, place] = 1
        mask[len(tokens) :, -1 if left else 0] = 1  # rows that only fill the shape
        return {"input_ids": ids, "attention_mask": mask}

    def answers(self, answer: torch.Tensor, count: int) -> list[Any]:
        """What the model gave for the first `count` rows: a vector, {label, score}, or {text, tokens} each.

        Args:
            answer: of `run_task`.
            count: texts of the batch.
        """
        import torch

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
        return frozenset(each for holder in self._holders for each in special_tokens(holder, "eos_token_id"))

    def text(self, ids: list[int]) -> str:
        """What tokens say; those of a random model are its bytes."""
        if self._tokenizer is None:
            said = bytes((token - BYTES_OFFSET) % 256 for token in ids if token >= BYTES_OFFSET)
            return said.decode(errors="replace")
        decoded: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return decoded

    def shortened(self, text: str) -> list[int]:
        """A text's tokens, without those that are too many for the longest shape."""
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
        said = {"ids": ids[:stop]} if self._tokenizer is None else {"text": self.text(ids[:stop])}
        return {**said, "tokens": stop}

    def _special(self, *names: str) -> int:
        return next((each for holder in self._holders for each in special_tokens(holder, *names)), 0)


def special_tokens(holder: object, *names: str) -> list[int]:
    """The tokens that a configuration or a tokenizer has under these names, each one, several or none."""
    found = (getattr(holder, name, None) for name in names)
    listed = (each for given in found for each in (given if isinstance(given, list | tuple) else [given]))
    return [token for token in listed if isinstance(token, int) and token >= 0]
