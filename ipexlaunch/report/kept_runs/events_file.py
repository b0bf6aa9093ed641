"""What happened in a run, as JSON lines (schema ipexlaunch/events/1), and back: the raw facts behind a report.

Times are seconds of the monotonic clock of the host. docs/run-directory.md has every event and key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ipexlaunch.errors import DocumentError, RequestError
from ipexlaunch.launch.run_record import Run
from ipexlaunch.report.kept_runs import event_rows
from ipexlaunch.report.kept_runs.events_reader import EventsReading

SCHEMA = "ipexlaunch/events/1"


def write_events(run: Run) -> Iterator[str]:
    """Each event as a line, in the order of their times where they have one; `read_events` gives the same run back.

    Args:
        run: what happened.
    """
    yield first_line()
    rows = [event_rows.begin_row(run), *event_rows.moment_rows(run)]
    rows += [event_rows.host_row(reading) for reading in run.host]
    rows += event_rows.failure_rows("failure", run.failures)
    rows += event_rows.failure_rows("recovered", run.recovered)
    rows.append(event_rows.end_row(run))
    for record in run.records:
        rows += event_rows.worker_rows(record)
    rows.sort(key=lambda row: row["time"])
    yield from map(line_of, rows)
    for record in run.records:
        index = record.instance.index
        yield from map(line_of, event_rows.placement_rows(index, record.placements))
        if record.told is not None:
            yield from map(line_of, event_rows.told_rows(index, record.told))
            for name, values_s in record.told.durations_s.items():
                yield from map(line_of, event_rows.duration_rows(index, name, values_s))
        yield from map(line_of, event_rows.count_rows(index, record.samples))


def first_line() -> str:
    """What every events document begins with."""
    return line_of({"schema": SCHEMA, "clock": "CLOCK_MONOTONIC, seconds"})


def line_of(row: Mapping[str, Any]) -> str:
    """An event as a line.

    Args:
        row: the event.
    """
    return json.dumps(row, separators=(",", ":")) + "\n"  # in ASCII: paths may hold bytes that are no text


def read_events(lines: Iterable[str], source: str) -> Run:
    """The run that the events tell.

    Args:
        lines: of the file, each with or without its end.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is no such file, or a line is no event of this version; the message has the line's number.
    """
    return _read(lines, source, whole=True).run(source)


def read_events_so_far(lines: Iterable[str], source: str) -> Run:
    """The run that the events tell which `EventsSoFar` has given; half a line at their end is left out.

    Args:
        lines: of the file, each with its end.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is no such file, or a line is no event of this version; the message has the line's number.
    """
    return _read(lines, source, whole=False).run_so_far(source)


def _read(lines: Iterable[str], source: str, *, whole: bool) -> EventsReading:
    from ipexlaunch.documents.text import DEEPEST, is_deeper
    from ipexlaunch.report.kept_runs.events_schema import check_event  # pydantic: only who reads needs it

    reading = EventsReading()
    number = 0
    for number, line in enumerate(lines, start=1):
        if not whole and not line.endswith("\n"):
            break  # it was being written
        try:
            row = json.loads(line)
            if is_deeper(row, DEEPEST):
                raise DocumentError(source, f"line {number}", f"it nests deeper than {DEEPEST} levels")
            if number == 1:
                _check_schema(row)
            else:
                check_event(row)
                reading.take(row)
        except RecursionError:
            raise DocumentError(source, f"line {number}", f"it nests deeper than {DEEPEST} levels") from None
        except json.JSONDecodeError as error:
            raise DocumentError(source, f"line {number}", f"it is not JSON: {error.msg}") from None
        except RequestError as error:
            raise DocumentError(source, f"line {number}", error.available) from None
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            problem = f"it is no event of {SCHEMA}: {error}"
            raise DocumentError(source, f"line {number}", problem) from None
    if not number:
        raise DocumentError(source, "", "it is empty", f"its first line should have the schema {SCHEMA}")
    return reading


def _check_schema(row: Any) -> None:
    schema = row.get("schema") if isinstance(row, dict) else None
    if schema != SCHEMA:
        raise RequestError("read events", f"its schema is {schema!r}, not {SCHEMA!r}")
