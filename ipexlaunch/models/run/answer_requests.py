"""Answers texts and requests of an OpenAI batch file: through the model, vectors, labels, texts or bodies out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from typing import Any, NamedTuple

import torch

from ipexlaunch import worker
from ipexlaunch.models.engines.model_job import BatchShapes, ModelJob
from ipexlaunch.models.engines.openai_request import BadRequest, OpenAIRequest, Sampling, read_request, request_key
from ipexlaunch.models.engines.openai_rows import Finish, answer_row, embedding_body, error_row, text_body
from ipexlaunch.models.run.answer_in_stream import answer_in_stream
from ipexlaunch.models.run.batches import TextBatches, make_inputs
from ipexlaunch.models.run.choose_tokens import RowSampler, StopWhenDone, first_stop
from ipexlaunch.models.run.compiled_model import takes_any_shape
from ipexlaunch.models.run.load_model import load_model
from ipexlaunch.models.run.prepare import Batch, Prepared
from ipexlaunch.models.run.run_job import facts_of_job, prepare_model, warm_up_around_split
from ipexlaunch.models.run.run_task import greedy, run_task


class Asked(NamedTuple):
    """A request with its key."""

    key: str
    request: OpenAIRequest
    inputs: list[list[int]]
    """The tokens of each of its inputs."""

    @property
    def sampling(self) -> Sampling:
        """How its tokens are chosen; one that is not for text has none."""
        return self.request.sampling or Sampling(max_tokens=1)

    @property
    def seed(self) -> int:
        """For one that names none."""
        return int(self.key[:12], 16)


@dataclass(frozen=True, kw_only=True)
class WantedText:
    """A text that is to be generated, and what becomes of it."""

    prompt: list[int]
    most: int
    """New tokens."""
    sampler: RowSampler | None
    """Leaves one token; None where the likeliest is taken."""
    is_done: Callable[[list[int]], bool]
    """Whether these new tokens are all."""
    answer: Callable[[list[int]], Any]
    """What is written for them."""


class Answering:
    """One model that answers texts, or requests of a batch file."""

    def __init__(self, prepared: Prepared, job: ModelJob, texts: TextBatches) -> None:
        """Keep them.

        Args:
            prepared: the model.
            job: its task, name and tokens are used.
            texts: makes batches of tokens.
        """
        self._prepared = prepared
        self._job = job
        self._texts = texts

    def answers(self, items: Sequence[object]) -> list[Any]:
        """What is written for each item, in their order; a request that cannot be answered has an error row.

        Args:
            items: texts, or lines of a batch file where the job is one of requests.

        Raises:
            ValueError: an item is no text.
        """
        if self._job.requests:
            return self._rows(items)
        batch, ends = self._texts.batch([_text_of(item) for item in items]), self._texts.ends
        if self._job.task == "generate":  # the search ends where every text has
            made = self._new_tokens(batch, len(items), lambda _, tokens: tokens[-1] in ends)
        else:
            made = run_task(self._prepared, self._job.task, batch, self._job.new_tokens).answer
        return self._texts.answers(made, len(items))

    def wanted(self, item: object) -> WantedText | dict[str, Any]:
        """What must be generated to answer an item; the answer itself to a request that cannot be answered.

        Args:
            item: a text, or a line of a batch file where the job is one of requests.

        Raises:
            ValueError: the item is no text.
        """
        if not self._job.requests:
            ends = self._texts.ends
            return WantedText(
                prompt=self._texts.shortened(_text_of(item)),
                most=self._job.new_tokens,
                sampler=None,
                is_done=lambda tokens: tokens[-1] in ends,
                answer=lambda tokens: self._texts.answers(torch.tensor([tokens]), 1)[0],
            )
        asked = self._asked(item)
        if isinstance(asked, dict):
            return asked
        sampling = asked.sampling
        return WantedText(
            prompt=asked.inputs[0],
            most=sampling.max_tokens,
            sampler=RowSampler([sampling], [asked.seed]),
            is_done=partial(self._is_done, sampling),
            answer=partial(self._answer, asked),
        )

    def _new_tokens(
        self, batch: Batch, rows: int, done: Callable[[int, list[int]], bool], **more: object
    ) -> torch.Tensor:
        length = batch["input_ids"].shape[1]
        ended = StopWhenDone(done, rows, length)
        most = self._job.new_tokens  # always the same: engine torch compiles for it
        return greedy(self._prepared, batch, most, min_new_tokens=0, stopping_criteria=[ended], **more)[:, length:]

    def _rows(self, values: Sequence[object]) -> list[dict[str, Any]]:
        rows = [self._asked(value) for value in values]
        asked = [each for each in rows if isinstance(each, Asked)]
        make = self._embeddings if self._job.task == "embed" else self._texts_of
        made = iter(make(asked) if asked else [])
        return [next(made) if isinstance(each, Asked) else each for each in rows]

    def _asked(self, value: object) -> Asked | dict[str, Any]:
        """What a line asks for, or its error row."""
        try:
            request = read_request(value, self._job.task, self._job.new_tokens)
            return Asked(request_key(value), request, self._tokens(request))
        except BadRequest as error:
            custom_id = value.get("custom_id") if isinstance(value, dict) else None
            return error_row(request_key(value), custom_id if isinstance(custom_id, str) else None, error)

    def _tokens(self, request: OpenAIRequest) -> list[list[int]]:
        """The tokens of each of its inputs.

        Raises:
            BadRequest: the model has no chat template, or an input is longer than the longest shape.
        """
        if request.kind == "chat":
            found = [self._texts.chat_tokens(request.messages)]
        else:
            found = [self._texts.tokens(each) if isinstance(each, str) else list(each) for each in request.inputs]
        longest = self._texts.shapes.longest
        most = max(map(len, found))
        if most > longest:
            problem = f"the input has {most} tokens, --input-tokens allows {longest}"
            raise BadRequest(problem, code="context_length_exceeded")
        if any(token >= self._texts.vocabulary for tokens in found for token in tokens):
            raise BadRequest(f"a token is not one of the model's {self._texts.vocabulary}")
        return found

    def _embeddings(self, asked: Sequence[Asked]) -> list[dict[str, Any]]:
        flat = [tokens for each in asked for tokens in each.inputs]
        vectors: list[Any] = []
        most = self._texts.shapes.rows
        for begin in range(0, len(flat), most):
            part = flat[begin : begin + most]
            call = run_task(self._prepared, "embed", self._texts.batch_of(part), self._job.new_tokens)
            vectors += self._texts.answers(call.answer, len(part))
        left = iter(vectors)
        return [
            answer_row(
                each.key,
                each.request.custom_id,
                embedding_body(
                    self._job.model,
                    list(islice(left, len(each.inputs))),
                    sum(map(len, each.inputs)),
                    as_base64=each.request.base64,
                ),
            )
            for each in asked
        ]

    def _texts_of(self, asked: Sequence[Asked]) -> list[dict[str, Any]]:
        samplings = [each.sampling for each in asked]
        prompts = self._texts.batch_of([each.inputs[0] for each in asked])
        made = self._new_tokens(
            prompts,
            len(asked),
            lambda row, tokens: self._is_done(samplings[row], tokens),
            logits_processor=[RowSampler(samplings, [each.seed for each in asked])],
        )
        return [self._answer(each, tokens) for each, tokens in zip(asked, made.tolist(), strict=False)]

    def _is_done(self, sampling: Sampling, tokens: list[int]) -> bool:
        if len(tokens) >= sampling.max_tokens or any(token in self._texts.ends for token in tokens):
            return True
        return bool(sampling.stop) and first_stop(self._texts.text(tokens), sampling.stop) is not None

    def _answer(self, asked: Asked, tokens: list[int]) -> dict[str, Any]:
        text, finish, used = self._cut(tokens, asked.sampling)
        body = text_body(
            asked.request.kind, asked.key, int(time.time()), self._job.model, text, finish, len(asked.inputs[0]), used
        )
        return answer_row(asked.key, asked.request.custom_id, body)

    def _cut(self, tokens: list[int], sampling: Sampling) -> tuple[str, Finish, int]:
        """(text, why it ended, tokens used) of what a row was given: up to its limit, its end or a stop sequence."""
        tokens = tokens[: sampling.max_tokens]
        end = next((at for at, token in enumerate(tokens) if token in self._texts.ends), None)
        if end is not None:
            tokens = tokens[: end + 1]
        text = self._texts.text(tokens)
        stop = first_stop(text, sampling.stop)
        if stop is not None:
            used = next(
                n
                for n in range(1, len(tokens) + 1)
                if first_stop(self._texts.text(tokens[:n]), sampling.stop) is not None
            )
            return text[:stop], "stop", used
        return text, "stop" if end is not None else "length", len(tokens)


def answer_batches(job: ModelJob, versions: Mapping[str, str]) -> None:
    """Load, prepare, check, run every shape once, and answer batches until there are no more.

    Args:
        job: what to run.
        versions: of the engine's packages, for the report.

    Raises:
        IpexLaunchError: the job cannot be run here.
    """
    loaded = load_model(job)
    # A graph is made for each shape where torch compiles for one, and where ipex traces what does not generate.
    kinds = {"torch": not takes_any_shape(job.candidate, loaded.config), "ipex": job.task != "generate"}
    fixed = kinds.get(job.candidate.engine, False)
    shapes = BatchShapes(rows=job.batch_size, longest=job.input_tokens, fixed=fixed)
    texts = TextBatches(job, loaded, shapes)
    inputs = make_inputs(job, loaded)  # the very batches that candidates were measured and compared on
    worker.tell(**facts_of_job(job, loaded, inputs), versions=versions)
    prepared = prepare_model(job, loaded, inputs)
    del loaded  # a compiled model has weights of its own
    batches = [
        {name: tensor[:rows, :length].contiguous() for name, tensor in inputs.batches[0].items()}
        for rows, length in product(shapes.row_counts, reversed(shapes.lengths))
    ]

    def warm_up() -> None:
        prepared.expect(batches)
        worker.phase("warming up")
        for batch in batches:
            run_task(prepared, job.task, batch, job.new_tokens)

    warm_up_around_split(warm_up)
    prepared.release()
    answering = Answering(prepared, job, texts)
    if prepared.paged is not None:
        prepared.paged.make_room(job.batch_size, job.input_tokens + job.new_tokens)
        answer_in_stream(answering.wanted, prepared.paged, job.batch_size)
    else:
        _answer_whole_batches(answering)
    worker.tell(cut_texts=texts.cut)


def _answer_whole_batches(answering: Answering) -> None:
    for given in worker.batches():
        try:
            answer = answering.answers(given.items)
        except (RuntimeError, ValueError, TypeError) as error:
            given.failed(f"{type(error).__name__}: {error}")
        else:
            given.done(answer)


def _text_of(item: object) -> str:
    if not isinstance(item, str):
        raise ValueError(f"an item is {type(item).__name__}, not text; --text-field says which field has it")
    return item
