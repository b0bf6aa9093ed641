"""Answers batches with a paged decoder: a text that is done gives its place to the next one, of whatever batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ipexlaunch import worker

if TYPE_CHECKING:
    from ipexlaunch.models.run.answer_requests import WantedText
    from ipexlaunch.models.run.paged_decoder import PagedDecoder, Row
    from ipexlaunch.worker.batch_loop import Batch

Want = Callable[[object], "WantedText | dict[str, Any]"]
"""What must be generated for an item, or its answer."""


@dataclass(eq=False)
class _Text:
    """One text on its way."""

    wanted: WantedText
    finish: Callable[[Any], None]
    """Takes its answer."""
    tokens: list[int] = field(default_factory=list, init=False)
    """New ones."""

    def go_on(self, scores: torch.Tensor) -> bool:
        """Choose the next token by the text's own rules; whether it is the last."""
        if self.wanted.sampler is not None:
            scores = self.wanted.sampler(torch.empty(0), scores.unsqueeze(0))[0]
        self.tokens.append(int(scores.argmax()))
        return len(self.tokens) >= self.wanted.most or self.wanted.is_done(self.tokens)


class _OpenBatch:
    """A batch of which some texts are not done."""

    def __init__(self, batch: Batch, want: Want) -> None:
        self.batch = batch
        self.answers: list[Any] = [want(item) for item in batch.items]
        texts = [place for place, each in enumerate(self.answers) if not isinstance(each, dict)]
        self.left = len(texts)
        self.texts = [_Text(self.answers[place], self._taker(place)) for place in texts]
        self._answer_if_whole()

    def _taker(self, place: int) -> Callable[[Any], None]:
        def take(answer: object) -> None:
            self.answers[place] = answer
            self.left -= 1
            self._answer_if_whole()

        return take

    def _answer_if_whole(self) -> None:
        if self.left == 0:
            self.batch.done(self.answers)


def answer_in_stream(want: Want, paged: PagedDecoder, most: int) -> None:
    """Answer batches until there are no more.

    Args:
        want: tells what an item asks for.
        paged: the decoder, with room for as many rows; nobody else uses it meanwhile.
        most: rows that run together.
    """
    batches = worker.overlapping_batches()
    waiting: deque[_Text] = deque()
    running: dict[Row, _Text] = {}
    open_batches: list[_OpenBatch] = []
    in_doubt: deque[Batch] = deque()
    while True:
        if not in_doubt:
            if not _take_more(batches, want, waiting, open_batches, most - len(running)):
                return
        elif not running and not waiting:
            _open(in_doubt.popleft(), want, waiting, open_batches)
        try:
            _enter(waiting, running, paged, most)
            _step(running, paged)
        except (RuntimeError, ValueError, TypeError) as error:
            for row in running:
                paged.leave(row)
            running.clear()
            waiting.clear()
            failed = [each.batch for each in open_batches if not each.batch.answered]
            open_batches.clear()
            if len(failed) == 1:
                failed[0].failed(f"{type(error).__name__}: {error}")
            else:  # whose fault it is nobody knows: each begins again, with nothing beside it
                in_doubt += failed


def _take_more(
    batches: Iterator[Batch | None], want: Want, waiting: deque[_Text], open_batches: list[_OpenBatch], places: int
) -> bool:
    """Take batches until there are texts for the free places, as far as they have come; False where all is done."""
    while len(waiting) < places:
        try:
            given = next(batches)
        except StopIteration:
            return False  # which the launcher says when everything is answered
        if given is None:
            break
        _open(given, want, waiting, open_batches)
    return True


def _open(batch: Batch, want: Want, waiting: deque[_Text], open_batches: list[_OpenBatch]) -> None:
    try:
        taken = _OpenBatch(batch, want)
    except (RuntimeError, ValueError, TypeError) as error:
        batch.failed(f"{type(error).__name__}: {error}")
        return
    waiting += taken.texts
    open_batches[:] = [each for each in (*open_batches, taken) if not each.batch.answered]


def _enter(waiting: deque[_Text], running: dict[Row, _Text], paged: PagedDecoder, most: int) -> None:
    while waiting and len(running) < most:
        wanted = waiting[0].wanted
        row = paged.enter(wanted.prompt, len(wanted.prompt) + wanted.most)
        if row is None:
            return
        running[row] = waiting.popleft()


def _step(running: dict[Row, _Text], paged: PagedDecoder) -> None:
    """One token of each row; those that are done leave."""
    if not running:
        return
    rows, logits = paged.step()
    for row, scores in zip(rows, torch.from_numpy(logits), strict=True):
        text = running[row]
        if text.go_on(scores):
            paged.leave(row)
            del running[row]
            text.finish(text.wanted.answer(text.tokens))
        else:
            row.pending.append(text.tokens[-1])
