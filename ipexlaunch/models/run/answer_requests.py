"""Answers texts and requests of an OpenAI batch file: prompts through the model, vectors, labels, texts or bodies out.

Each row's next token is chosen by that row's own rules, whatever else is in its batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, product
from typing import Any, NamedTuple

import torch

from ipexlaunch import worker
from ipexlaunch.models.engines.model_job import BatchShapes, ModelJob
from ipexlaunch.models.engines.openai_request import BadRequest, OpenAIRequest, Sampling, read_request, request_key
from ipexlaunch.models.engines.openai_rows import Finish, answer_row, embedding_body, error_row, text_body
from ipexlaunch.models.run.batches import TextBatches, make_inputs
from ipexlaunch.models.run.compiled_model import takes_any_shape
from ipexlaunch.models.run.load_model import load_model
from ipexlaunch.models.run.prepare import Batch, Prepared
from ipexlaunch.models.run.run_job import facts_of_job, prepare_model
from ipexlaunch.models.run.run_task import greedy, run_task


class RowSampler:
    """A logits processor that leaves each row one token: the likeliest, or one drawn with the row's own generator.

    `generate` then picks it greedily, on every engine alike. A row with a seed gives the same tokens in every batch.
    """

    def __init__(self, rows: Sequence[Sampling], seeds: Sequence[int]) -> None:
        """Make a generator for each row.

        Args:
            rows: how tokens are chosen in each.
            seeds: for the rows that name none.
        """
        self._rows = rows
        self._generators = []
        for row, seed in zip(rows, seeds, strict=True):
            generator = torch.Generator()
            generator.manual_seed(seed if row.seed is None else row.seed)
            self._generators.append(generator)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores in which every row has one token left.

        Args:
            input_ids: rows x tokens so far.
            scores: rows x vocabulary; rows beyond ours only fill the batch.
        """
        for at, (row, generator) in enumerate(zip(self._rows, self._generators, strict=True)):
            if row.temperature == 0:
                continue  # greedy search takes the likeliest by itself
            chosen = _draw(scores[at].float().cpu(), row, generator)
            scores[at] = float("-inf")
            scores[at, chosen] = 0.0
        return scores


def _draw(scores: torch.Tensor, row: Sampling, generator: torch.Generator) -> int:
    """One token: softmax at the temperature, cut to the fewest tokens that hold top_p of it.

    Source: Holtzman et al., The Curious Case of Neural Text Degeneration (nucleus sampling).
    """
    shares = torch.softmax(scores / row.temperature, dim=-1)
    if row.top_p < 1:
        ordered, places = shares.sort(descending=True)
        before = ordered.cumsum(-1) - ordered
        ordered[before >= row.top_p] = 0.0
        ordered[0] = max(float(ordered[0]), 1e-30)  # top_p 0 leaves the likeliest
        return int(places[torch.multinomial(ordered, 1, generator=generator)])
    return int(torch.multinomial(shares, 1, generator=generator))


class StopWhenDone:
    """A stopping criterion that ends a batch once every row has all that it asked for."""

    def __init__(self, done: Callable[[int, list[int]], bool], rows: int, prompt: int) -> None:
        """Begin with no row done.

        Args:
            done: whether a row, by its number and its new tokens, needs no more.
            rows: how many are asked.
            prompt: tokens of the prompts, padding included.
        """
        self._done = done
        self._left = set(range(rows))
        self._prompt = prompt

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        """True for every row or for none: engines differ in whether they look at single rows."""
        new = input_ids[:, self._prompt :]
        self._left = {row for row in self._left if not self._done(row, new[row].tolist())}
        return torch.full((input_ids.shape[0],), not self._left, dtype=torch.bool, device=input_ids.device)


class Asked(NamedTuple):
    """A request with its key."""

    key: str
    request: OpenAIRequest
    inputs: list[list[int]]
    """The tokens of each of its inputs."""


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
        if wrong := [type(item).__name__ for item in items if not isinstance(item, str)]:
            raise ValueError(f"an item is {wrong[0]}, not text; --text-field says which field has it")
        batch, ends = self._texts.batch([str(item) for item in items]), self._texts.ends
        if self._job.task == "generate":  # the search ends where every text has
            made = self._new_tokens(batch, len(items), lambda _, tokens: tokens[-1] in ends)
        else:
            made = run_task(self._prepared, self._job.task, batch, self._job.new_tokens).answer
        return self._texts.answers(made, len(items))

    def _new_tokens(
        self, batch: Batch, rows: int, done: Callable[[int, list[int]], bool], **more: object
    ) -> torch.Tensor:
        length = batch["input_ids"].shape[1]
        ended = StopWhenDone(done, rows, length)
        most = self._job.new_tokens  # always the same: engine torch compiles for it
        return greedy(self._prepared, batch, most, min_new_tokens=0, stopping_criteria=[ended], **more)[:, length:]

    def _rows(self, values: Sequence[object]) -> list[dict[str, Any]]:
        rows: dict[int, dict[str, Any]] = {}
        asked: dict[int, Asked] = {}
        for place, value in enumerate(values):
            try:
                request = read_request(value, self._job.task, self._job.new_tokens)
                asked[place] = Asked(request_key(value), request, self._tokens(request))
            except BadRequest as error:
                custom_id = value.get("custom_id") if isinstance(value, dict) else None
                rows[place] = error_row(request_key(value), custom_id if isinstance(custom_id, str) else None, error)
        if asked:
            make = self._embeddings if self._job.task == "embed" else self._texts_of
            for (place, each), body in zip(asked.items(), make(list(asked.values())), strict=True):
                rows[place] = answer_row(each.key, each.request.custom_id, body)
        return [rows[place] for place in range(len(values))]

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
            embedding_body(
                self._job.model,
                list(islice(left, len(each.inputs))),
                sum(map(len, each.inputs)),
                as_base64=each.request.base64,
            )
            for each in asked
        ]

    def _texts_of(self, asked: Sequence[Asked]) -> list[dict[str, Any]]:
        samplings = [each.request.sampling for each in asked if each.request.sampling is not None]
        prompts = [each.inputs[0] for each in asked]
        made = self._generate(prompts, samplings, [int(each.key[:12], 16) for each in asked])
        bodies, created, model = [], int(time.time()), self._job.model
        for each, tokens, sampling in zip(asked, made, samplings, strict=True):
            text, finish, used = self._cut(tokens, sampling)
            bodies.append(
                text_body(each.request.kind, each.key, created, model, text, finish, len(each.inputs[0]), used)
            )
        return bodies

    def _generate(
        self, prompts: Sequence[list[int]], samplings: Sequence[Sampling], seeds: Sequence[int]
    ) -> list[list[int]]:
        def done(row: int, tokens: list[int]) -> bool:
            sampling = samplings[row]
            if len(tokens) >= sampling.max_tokens or any(token in self._texts.ends for token in tokens):
                return True
            return bool(sampling.stop) and _first_stop(self._texts.text(tokens), sampling.stop) is not None

        sampler = RowSampler(samplings, seeds)
        made = self._new_tokens(self._texts.batch_of(prompts), len(prompts), done, logits_processor=[sampler])
        found: list[list[int]] = made[: len(prompts)].tolist()
        return found

    def _cut(self, tokens: list[int], sampling: Sampling) -> tuple[str, Finish, int]:
        """(text, why it ended, tokens used) of what a row was given: up to its limit, its end or a stop sequence."""
        tokens = tokens[: sampling.max_tokens]
        end = next((at for at, token in enumerate(tokens) if token in self._texts.ends), None)
        if end is not None:
            tokens = tokens[: end + 1]
        text = self._texts.text(tokens)
        stop = _first_stop(text, sampling.stop)
        if stop is not None:
            used = next(
                n
                for n in range(1, len(tokens) + 1)
                if _first_stop(self._texts.text(tokens[:n]), sampling.stop) is not None
            )
            return text[:stop], "stop", used
        return text, "stop" if end is not None else "length", len(tokens)


def _first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop sequence begins; None where there is none."""
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return min(places, default=None)


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
    prepared.expect(batches)
    worker.phase("warming up")
    for batch in batches:
        run_task(prepared, job.task, batch, job.new_tokens)
    prepared.release()
    answering = Answering(prepared, job, texts)
    for given in worker.batches():
        try:
            answer = answering.answers(given.items)
        except (RuntimeError, ValueError, TypeError) as error:
            given.failed(f"{type(error).__name__}: {error}")
        else:
            given.done(answer)
    worker.tell(cut_texts=texts.cut)
