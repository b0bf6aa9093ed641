"""The first texts of an input: what stands for all of it when a model is measured, checked and calibrated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from ipexlaunch.batch.items import DeadLetter, Item
from ipexlaunch.models.engines.openai_request import TASKS, BadRequest, read_request

FIRST_TEXTS = 128
"""A calibration takes half of them, so that answers can be checked on others."""

LONGEST_TEXT = 1 << 16
"""Characters that are kept of a text: more than the tokens of a call."""


def first_texts(items: Iterable[Item | DeadLetter]) -> list[str]:
    """The texts of up to FIRST_TEXTS items, one a line; what holds none is passed over.

    Args:
        items: of the input, from its beginning; no more are taken than are looked at.
    """
    looked_at = (item for item in islice(items, FIRST_TEXTS) if isinstance(item, Item))
    lines = (" ".join(text[:LONGEST_TEXT].split()) for item in looked_at for text in _texts(item.value))
    return list(islice(filter(None, lines), FIRST_TEXTS))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        return
    for task in TASKS:
        try:
            request = read_request(value, task, _ANY_NUMBER)
        except BadRequest:
            continue  # one of the other task, or none: its error row says why
        yield from (each for each in request.inputs if isinstance(each, str))
        if request.messages:
            yield " ".join(str(message["content"]) for message in request.messages)


_ANY_NUMBER = 2**31
"""Of new tokens that a request may ask for."""
