"""The status channel: JSON lines from a worker, understood strictly, and commands to it (docs/worker-protocol.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from ipexlaunch.documents.read_text import read_message
from ipexlaunch.documents.secret_values import mask_text, masked
from ipexlaunch.launch.run_record import UNKNOWN, Announced, Samples, Spent
from ipexlaunch.machine.wording import counted

LONGEST_MESSAGE_BYTES = 4 << 20
"""A line longer than this is not a message."""


@dataclass(frozen=True, slots=True)
class WorkerMessage:
    """One message: what it announces, and what is wrong with it where it is none."""

    event: str
    """One of EVENTS or OF_BATCHES, or "" for what is no message."""
    problem: str = ""
    text: str = ""
    """phase: its name; invalid, failed: the reason."""
    time: float = 0.0
    """phase: when it began, seconds of the monotonic clock."""
    number: int = 0
    """want: how many batches it can hold; begin, done, failed: which batch."""
    results: Sequence[object] = ()
    """done: one for each item."""
    latency_s: float | None = None
    """done: how long the worker took; None where it does not say."""
    spent: Spent | None = None
    """phase, ready: what its process has cost so far; None where it does not say."""


EVENTS = ("ready", "progress", "finished", "phase", "samples", "facts", "invalid")

OF_BATCHES = ("want", "begin", "done", "failed")
"""Events that only a worker that is given batches has a use for."""

LONGEST_NAME = 60
"""Characters of the name of a phase or of a kind of durations: it stands in tables."""

WHAT_A_NAME_IS = f"the name is a text of up to {LONGEST_NAME} printable characters"

LONGEST_REASON = 500
"""Characters of the reason of an invalid message; more are cut off."""

FURTHEST_AHEAD_S = 60.0
"""A time that is so much later than its reading is of another clock; seconds since 1970 are the usual mistake."""

WHAT_A_TIME_IS = "times are seconds of CLOCK_MONOTONIC, not later than now"

DEEPEST_FACT = 16
"""Levels of lists and objects in facts: what writes and reads the report later must not run out of stack."""


def read_messages(
    buffer: bytearray,
    samples: Samples,
    told: Announced,
    now: float,
    longest: int = LONGEST_MESSAGE_BYTES,
    *,
    fed: bool = False,
) -> list[WorkerMessage]:
    """Take the whole lines off a buffer; counts, durations and facts are kept, announcements are returned in order.

    Args:
        buffer: bytes read so far; what remains is an incomplete line.
        samples: the worker's counts so far.
        told: what else it has told so far.
        now: time of the reading, for counts and phases that come without one.
        longest: a line of more bytes is not a message.
        fed: the launcher gives the worker its items and counts them itself: of its own counts only tokens are taken.
    """
    said: list[WorkerMessage] = []
    end = buffer.rfind(b"\n") + 1
    lines = bytes(buffer[:end]).splitlines()
    del buffer[:end]
    if len(buffer) > longest:
        problem = f"a line of more than {longest} bytes"
        said.append(_unreadable(bytes(buffer[:HEAD_BYTES]), problem, problem))
        buffer.clear()
    for line in lines:
        if line.strip():
            said += _understand(line, samples, told, now, fed=fed)
    return said


def _understand(line: bytes, samples: Samples, told: Announced, now: float, *, fed: bool) -> list[WorkerMessage]:
    try:
        message: Any = read_message(line)
    except ValueError as error:
        return [_unreadable(line, f"{_shortened(line)} is not JSON", str(error))]
    event = message.get("event") if isinstance(message, dict) else None
    if event == "finished":
        return [*_doubts_of_total(message, told, line), WorkerMessage(event)]
    return [_announced(message, event, line, samples, told, now, fed=fed)]


def _doubts_of_total(message: dict[str, Any], told: Announced, line: bytes) -> list[WorkerMessage]:
    """What is to be said where a worker has counted something else than has arrived of it."""
    if "items" not in message and "tokens" not in message:
        return []
    items, tokens = message.get("items", told.sent_items), message.get("tokens", told.sent_tokens)
    if not (_is_count(items) and _is_count(tokens)):
        return [WorkerMessage("", f"{_shortened(line)}: counts are whole numbers from 0")]
    pairs = (("item", items, told.sent_items), ("token", tokens, told.sent_tokens))
    return [
        WorkerMessage("invalid", text=f"it counted {counted(its, what)} in all, and {ours} of them arrived here")
        for what, its, ours in pairs
        if its != ours
    ]


def _announced(
    message: dict[str, Any], event: object, line: bytes, samples: Samples, told: Announced, now: float, *, fed: bool
) -> WorkerMessage:
    if event == "ready":
        return WorkerMessage("ready", spent=_spent(message))
    if event == "progress":
        problem = _count(message, samples, told, now, fed=fed)
        if not problem and fed and _counts_items(message):
            problem = "the launcher gives the items here and counts them, so these are not added"
    elif event == "samples":
        problem = _durations(message, told)
    elif event == "facts":
        problem = _facts(message, told)
    elif event == "phase":
        name, time = _name(message.get("name")), message.get("time", now)
        if name and _is_finite(time) and time <= now + FURTHEST_AHEAD_S:
            return WorkerMessage("phase", text=name, time=float(time), spent=_spent(message))
        problem = WHAT_A_TIME_IS if name else WHAT_A_NAME_IS
    elif event == "invalid":
        reason = message.get("reason")
        if isinstance(reason, str) and reason.strip():
            return WorkerMessage("invalid", text=_one_line(reason))
        problem = "the reason is a text"
    elif event in OF_BATCHES:
        return _of_batches(message, event, line)
    else:
        return WorkerMessage("", f"{_shortened(line)} has no event that is known ({', '.join(EVENTS)})")
    return WorkerMessage("", f"{_shortened(line)}: {problem}") if problem else WorkerMessage(str(event))


def _of_batches(message: dict[str, Any], event: str, line: bytes) -> WorkerMessage:
    """What a worker says of its batches."""
    number = message.get("batches" if event == "want" else "batch")
    if not _is_count(number):
        return WorkerMessage("", f"{_shortened(line)}: batches are counted and numbered from 0")
    if event == "done":
        results = message.get("results")
        if not isinstance(results, list):
            return WorkerMessage("failed", number=number, text="gave no list of results")
        latency = message.get("latency_s")
        known = float(latency) if _is_finite(latency) and latency >= 0 else None
        return WorkerMessage("done", number=number, results=results, latency_s=known)
    if event == "failed":
        reason = message.get("reason")
        return WorkerMessage(
            "failed", number=number, text=_one_line(reason) if isinstance(reason, str) else "gave no reason"
        )
    return WorkerMessage(event, number=number)


_ANSWERS = re.compile(rb'"event"\s*:\s*"(?:done|failed)"')
_OF_BATCH = re.compile(rb'"batch"\s*:\s*(\d{1,18})\b')

HEAD_BYTES = 200
"""An answer's event and the number of its batch stand before its results; only so much of a broken one is searched."""


def _unreadable(line: bytes, problem: str, reason: str) -> WorkerMessage:
    """What is no message; where it is the answer to a batch that batch has failed, or it would be waited for."""
    answers, batch = _ANSWERS.search(line, 0, HEAD_BYTES), _OF_BATCH.search(line, 0, HEAD_BYTES)
    if answers is None or batch is None:
        return WorkerMessage("", problem)
    return WorkerMessage("failed", number=int(batch[1]), text=_one_line(f"the results cannot be kept: {reason}"))


def _durations(message: dict[str, Any], told: Announced) -> str:
    """Keep the durations of a samples message; what is wrong with it, or ""."""
    name, values = _name(message.get("name")), message.get("values_s")
    if not name:
        return WHAT_A_NAME_IS
    if not isinstance(values, list) or not all(_is_finite(value) and value >= 0 for value in values):
        return "values_s is a list of seconds, each from 0"
    told.add_durations(name, values)
    return ""


def _facts(message: dict[str, Any], told: Announced) -> str:
    """Keep the facts of a facts message; what is wrong with it, or ""."""
    facts = message.get("facts")
    if not isinstance(facts, dict) or _is_deeper(facts, DEEPEST_FACT):
        return f"facts is an object, at most {DEEPEST_FACT} levels deep"
    try:
        json.dumps(facts, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        # Python reads NaN and lone surrogates, but the report could not be written, or not read by others.
        return "NaN, Infinity and halves of characters are no JSON"
    told.facts.update(masked(facts))
    return ""


def _is_deeper(value: object, levels: int) -> bool:
    """Whether lists and objects are nested deeper than this."""
    if not isinstance(value, dict | list):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(part, levels - 1) for part in parts)


def _name(value: object) -> str:
    """The name as it is kept, or "" where it is none."""
    if isinstance(value, str) and len(value) <= LONGEST_NAME and value.isprintable():
        return value.strip()
    return ""


def _spent(message: dict[str, object]) -> Spent | None:
    cpu_s, anonymous = message.get("cpu_s"), message.get("anonymous_bytes", 0)
    if _is_finite(cpu_s) and 0 <= cpu_s < 1e15 and _is_count(anonymous):
        return Spent(float(cpu_s), anonymous)
    return None


def _counts_items(message: dict[str, object]) -> bool:
    items = message.get("items", 0)
    return any(items) if isinstance(items, list) else bool(items)


def _count(message: dict[str, object], samples: Samples, told: Announced, now: float, *, fed: bool) -> str:
    """Add the counts of a progress message; what is wrong with it, or ""."""
    items = message.get("items", 0)
    if not isinstance(items, list):
        columns = [[message.get("time", now)], [items], [message.get("tokens", 0)], [message.get("latency_s", UNKNOWN)]]
    else:
        size = len(items)
        columns = [
            _column(message.get("times"), [now] * size),
            items,
            _column(message.get("tokens"), [0] * size),
            _column(message.get("latencies_s"), [UNKNOWN] * size),
        ]
        if any(len(column) != size for column in columns):
            return "its columns are not of one length"
    for time, count, tokens, latency in zip(*columns, strict=True):
        if not (_is_count(count) and _is_count(tokens)):
            return "counts are whole numbers from 0"
        if not (_is_finite(time) and time <= now + FURTHEST_AHEAD_S):
            return WHAT_A_TIME_IS
        if latency is not UNKNOWN and not (_is_finite(latency) and latency >= 0):
            return "latencies are seconds, each from 0"
    by_itself = message.get("child") is not True
    for time, count, tokens, latency in zip(*columns, strict=True):
        if by_itself:
            told.sent_items += count
            told.sent_tokens += tokens
        if not fed:
            samples.add(float(time), count, tokens, float(latency))
        elif tokens:
            samples.add(float(time), 0, tokens)
    return ""


def _column(value: object, default: list[object]) -> list[object]:
    return value if isinstance(value, list) else default


def _is_finite(value: object) -> TypeGuard[int | float]:
    """Whether it is a number that a clock can show; whole numbers of JSON may be larger than any float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def _one_line(text: str) -> str:
    """A text from outside as something that can stand in a terminal and in a file."""
    shown = "".join(character if character.isprintable() else "?" for character in " ".join(mask_text(text).split()))
    return shown if len(shown) <= LONGEST_REASON else shown[: LONGEST_REASON - 3] + "..."


def _shortened(line: bytes) -> str:
    text = line.decode(errors="replace")
    return repr(text if len(text) <= 80 else text[:77] + "...")


def command_line(command: str, **fields: object) -> bytes:
    """A command to a worker as one line."""
    return json.dumps({"command": command, **fields}).encode() + b"\n"
