"""What `ipexlaunch.worker.batches()` gives out: a batch at a time, asked for and answered over the status channel.

Like ipexlaunch.worker it needs nothing but the standard library of Python 3.6.
"""

import json
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ipexlaunch.worker.status_channel import StatusChannel


class Batch:
    """Items to be worked on together; answer with done() or failed()."""

    def __init__(self, channel: "StatusChannel", number: int, ids: "list[str | int]", items: "list[Any]") -> None:
        """Keep what the launcher sent; batches() does this.

        Args:
            channel: to the launcher.
            number: of the batch.
            ids: of the items.
            items: their values.
        """
        self.ids = ids
        """Each item's id: given in the input, or the number of its line."""
        self.items = items
        """Each item as it stands in the input."""
        self.answered = False
        """Whether done() or failed() was called."""
        self._channel = channel
        self.number = number
        """Of the batch, as the launcher counts."""
        self._begun = monotonic()

    def __len__(self) -> int:
        return len(self.items)

    def done(self, results: "Iterable[Any]") -> None:
        """Hand in the results; arrays and tensors are taken as lists.

        A result that JSON cannot hold (NaN, an infinity, a list that holds itself) fails the batch; its other items are
        tried again without it.

        Args:
            results: one for each item, in the same order.

        Raises:
            ValueError: there are more or fewer results than items.
            TypeError: a result is nothing that JSON can hold.
            RuntimeError: the batch was answered before.
        """
        results = _plain(results)
        if len(results) != len(self.items):
            given, wanted = _counted(len(results), "result"), _counted(len(self.items), "item")
            raise ValueError(f"batch.done() was given {given} for {wanted}")
        try:
            text = json.dumps(results, separators=(",", ":"), allow_nan=False, default=_as_list)
        except (ValueError, RecursionError) as error:
            self.failed(f"a result is not JSON: {error}")
            return
        head = b'{"event":"done","batch":%d,"latency_s":%.6f,"results":' % (self.number, monotonic() - self._begun)
        self._answer(b"".join((head, text.encode(), b"}\n")))

    def failed(self, reason: object) -> None:
        """Say that these items cannot be done; they are tried again, in parts, and given up one by one.

        Args:
            reason: what was wrong, such as the exception.

        Raises:
            RuntimeError: the batch was answered before.
        """
        message = {"event": "failed", "batch": self.number, "reason": str(reason) or type(reason).__name__}
        self._answer(json.dumps(message).encode() + b"\n")

    def _answer(self, line: bytes) -> None:
        if self.answered:
            raise RuntimeError("this batch was answered before; call done() or failed() once for each batch")
        self.answered = True
        self._channel.write(line)


def take_batches(channel: "StatusChannel", held: int) -> "Iterator[Batch]":
    """Every batch that the launcher gives, until nothing is left.

    Args:
        channel: to the launcher.
        held: how many batches may be on their way, so that none is waited for.

    Raises:
        RuntimeError: a batch was not answered, or the launcher went away.
    """
    for batch in take_overlapping(channel, held):
        if batch is not None:  # which it is only where one is unanswered
            yield batch
            if not batch.answered:
                raise RuntimeError("the next batch was asked for before batch.done(results) was called for the last")


def take_overlapping(channel: "StatusChannel", held: int) -> "Iterator[Batch | None]":
    """The same; the next may be taken while others are unanswered, and is None where it has not come yet.

    Raises:
        RuntimeError: the launcher went away.
    """
    channel.write(b'{"event":"want","batches":%d}\n' % held)
    taken: list[Batch] = []
    while True:
        taken = [batch for batch in taken if not batch.answered]
        if taken and not channel.has_command():
            yield None
            continue
        message = channel.next_command()
        if message is None:
            raise RuntimeError("ipexlaunch went away while items were left")
        if message.get("command") == "end":
            return
        if message.get("command") != "batch":
            continue
        items = message["items"]
        batch = Batch(channel, message["batch"], [item["id"] for item in items], [item["value"] for item in items])
        channel.write(b'{"event":"begin","batch":%d}\n' % batch.number)
        taken.append(batch)
        yield batch


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _plain(results: "Iterable[Any]") -> "list[Any]":
    listed = results.tolist() if hasattr(results, "tolist") else results
    return listed if isinstance(listed, list) else list(listed)


def _as_list(value: Any) -> Any:
    """An array or a tensor as JSON can hold it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"batch.done(): a result holds a {type(value).__name__}, which is nothing that JSON can hold")
