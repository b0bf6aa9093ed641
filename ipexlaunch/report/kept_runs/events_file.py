"""What happened in a run, as JSON lines (schema ipexlaunch/events/1), and back: the raw facts behind a report.

Times are seconds of the monotonic clock of the host. docs/report.md has every event and key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ipexlaunch.documents.text import DEEPEST, is_deeper
from ipexlaunch.errors import DocumentError, RequestError
from ipexlaunch.launch.run_events import (
    DurationsReported,
    ItemsCounted,
    RunEvent,
    WorkerRestated,
)
from ipexlaunch.launch.run_record import Run, Samples
from ipexlaunch.launch.run_so_far import RunSoFar, events_of
from ipexlaunch.report.kept_runs.event_rows import event_of, rows_of

SCHEMA = "ipexlaunch/events/1"


def write_events(run: Run) -> Iterator[str]:
    """Each event as a line, in the order of their times where they have one; `read_events` gives the same run back.

    Args:
        run: what happened.
    """
    yield _FIRST_LINE
    yield from _lines_of(sorted(events_of(run), key=lambda event: getattr(event, "time", math.inf)))


class EventLines:
    """The lines of a run that lasts: each event once, in the order in which they became known.

    What is many is gathered, so that a line holds many counts; nothing of an event is kept once its line was taken.
    """

    def __init__(self) -> None:
        """Begin with the first line."""
        self._lines = [_FIRST_LINE]
        self._events: list[RunEvent] = []
        self._counts: dict[int, Samples] = {}
        self._durations: dict[tuple[int, str], list[float]] = {}

    def add(self, event: RunEvent) -> None:
        """Take an event.

        Args:
            event: the next.
        """
        match event:
            case ItemsCounted(index, samples):
                self._counts.setdefault(index, Samples()).extend(samples)
            case DurationsReported(index, name, values_s):
                self._durations.setdefault((index, name), []).extend(values_s)
            case _:
                if isinstance(event, WorkerRestated) and event.of == "counts":
                    self._counts.pop(event.index, None)
                self._events.append(event)

    def take(self) -> list[str]:
        """What has come since the last call; all of it, in this order, is what `read_events_so_far` takes."""
        lines, events, counts, durations = self._lines, self._events, self._counts, self._durations
        self._lines, self._events, self._counts, self._durations = [], [], {}, {}
        lines += _lines_of(events)
        lines += _lines_of(DurationsReported(index, name, values_s) for (index, name), values_s in durations.items())
        lines += _lines_of(ItemsCounted(index, samples) for index, samples in counts.items())
        return lines


def _lines_of(events: Iterable[RunEvent]) -> Iterator[str]:
    return (_line_of(row) for event in events for row in rows_of(event))


def _line_of(row: Mapping[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":")) + "\n"  # in ASCII: paths may hold bytes that are no text


WHOLE = "put back what was kept, or read the report.json beside it"
"""What would work where the events of a run are damaged."""

_FIRST_LINE = _line_of({"schema": SCHEMA, "clock": "CLOCK_MONOTONIC, seconds"})


def read_events(lines: Iterable[str], source: str) -> Run:
    """The run that the events tell.

    Args:
        lines: of the file, each with or without its end.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is no such file, or a line is no event of this version; the message has the line's number.
    """
    run = _read(lines, source, whole=True)
    if not run.over:
        raise DocumentError(source, "", "it has no event 'begin' or no event 'end', so it was cut off", WHOLE)
    return run


def read_events_so_far(lines: Iterable[str], source: str) -> Run:
    """The run that the events tell which `EventLines` has given, as far as it was told; it ends with the last thing
    that has a time. Half a line at their end is left out.

    Args:
        lines: of the file, each with its end.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is no such file, or a line is no event of this version; the message has the line's number.
    """
    return _read(lines, source, whole=False)


def _read(lines: Iterable[str], source: str, *, whole: bool) -> Run:
    so_far, latest, number = RunSoFar(), 0.0, 0
    for number, line in enumerate(lines, start=1):
        if not whole and not line.endswith("\n"):
            break  # it was being written
        try:
            row = json.loads(line)
            if is_deeper(row, DEEPEST):
                raise DocumentError(source, f"line {number}", f"it nests deeper than {DEEPEST} levels", WHOLE)
            if number == 1:
                _check_schema(row)
            else:
                so_far.add(event_of(row))
                latest = max(latest, row.get("time", 0.0), *row.get("times", ()))
        except RecursionError:
            raise DocumentError(source, f"line {number}", f"it nests deeper than {DEEPEST} levels", WHOLE) from None
        except json.JSONDecodeError as error:
            raise DocumentError(source, f"line {number}", f"it is not JSON: {error.msg}", WHOLE) from None
        except RequestError as error:
            raise DocumentError(source, f"line {number}", error.available, error.hint) from None
        except ValueError as error:
            problem = f"it is no event of {SCHEMA}: {error}"
            raise DocumentError(source, f"line {number}", problem, WHOLE) from None
    if not number:
        raise DocumentError(source, "", "it is empty", f"its first line should have the schema {SCHEMA}")
    if so_far.began is None:
        needed = "it has no event 'begin' or no event 'end'" if whole else "it has no event 'begin'"
        raise DocumentError(source, "", f"{needed}, so it was cut off", WHOLE)
    unknown = [index for index in so_far.workers if index not in so_far.started]
    if unknown:
        raise DocumentError(source, "", f"it has no event 'start' of worker {unknown[0]}", WHOLE)
    return so_far.run(latest)


def _check_schema(row: Any) -> None:
    schema = row.get("schema") if isinstance(row, dict) else None
    if schema != SCHEMA:
        raise RequestError("read events", f"its schema is {schema!r}, not {SCHEMA!r}", WHOLE)
