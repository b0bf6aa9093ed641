"""The status channel: JSON lines from a worker, understood strictly, and commands to it.

docs/worker-protocol.md describes it for programs in other languages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from ipexlaunch.samples import UNKNOWN, Samples

LONGEST_MESSAGE_BYTES = 4 << 20
"""A line longer than this is not a message."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message: what it announces, and what is wrong with it where it is none."""

    event: str
    """ready, progress, finished, or "" for what is no message."""
    problem: str = ""


def read_messages(buffer: bytearray, samples: Samples, now: float) -> list[Said]:
    """Take the whole lines off a buffer; counts go into the samples, announcements are returned in order.

    Args:
        buffer: bytes read so far; what remains is an incomplete line.
        samples: the worker's counts so far.
        now: time of the reading, for counts that come without one.
    """
    said: list[Said] = []
    end = buffer.rfind(b"\n") + 1
    lines = bytes(buffer[:end]).splitlines()
    del buffer[:end]
    if len(buffer) > LONGEST_MESSAGE_BYTES:
        said.append(Said("", f"a line of more than {LONGEST_MESSAGE_BYTES} bytes"))
        buffer.clear()
    for line in lines:
        if line.strip():
            said.append(_understand(line, samples, now))
    return said


def _understand(line: bytes, samples: Samples, now: float) -> Said:
    try:
        message = json.loads(line)
    except ValueError:
        return Said("", f"{_shortened(line)} is not JSON")
    event = message.get("event") if isinstance(message, dict) else None
    if event == "progress":
        problem = _count(message, samples, now)
        return Said("", f"{_shortened(line)}: {problem}") if problem else Said("progress")
    if event in ("ready", "finished"):
        return Said(event)
    return Said("", f"{_shortened(line)} has no event that is known (ready, progress, finished)")


def _count(message: dict[str, object], samples: Samples, now: float) -> str:
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
        if not (_is_number(time) and _is_count(count) and _is_count(tokens) and _is_number(latency)):
            return "counts are whole numbers from 0, times are seconds"
    for time, count, tokens, latency in zip(*columns, strict=True):
        samples.add(float(time), count, tokens, float(latency))
    return ""


def _column(value: object, default: list[object]) -> list[object]:
    return value if isinstance(value, list) else default


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def _shortened(line: bytes) -> str:
    text = line.decode(errors="replace")
    return repr(text if len(text) <= 80 else text[:77] + "...")


def command_line(command: str, **fields: object) -> bytes:
    """A command to a worker as one line."""
    return json.dumps({"command": command, **fields}).encode() + b"\n"
