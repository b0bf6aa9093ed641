"""Computes the figures of a kept run again, from its raw events alone, and compares them with its report.

    python tools/recompute.py runs/monday

It shares no line with ipexlaunch and needs only the standard library, so that anybody can check a report without
trusting what wrote it. Exit code: 0 where everything agrees to 0.1 %, 1 where something does not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TOLERANCE = 1e-3


def figures(events: list[dict[str, Any]]) -> dict[str, float | None]:
    """Every figure that the counts give, by its path in the report.

    Args:
        events: the lines of events.jsonl after the first.
    """
    begins = next(event for event in events if event["event"] == "begin")
    begin, together = begins["time"], not begins["fed"] or begins.get("fed_together", False)
    go = next((event["time"] for event in events if event["event"] == "go"), begin)
    workers: dict[int, list[tuple[float, int, int, float | None]]] = {
        event["index"]: [] for event in events if event["event"] == "start"
    }
    for event in events:
        if event["event"] == "counts":
            columns = (event["times"], event["items"], event["tokens"], event["latencies_s"])
            workers[event["index"]] += zip(*columns, strict=True)
    found: dict[str, float | None] = {}
    counted = {index: rows for index, rows in workers.items() if rows}
    ends = {index: max(row[0] for row in rows) for index, rows in counted.items()}
    items = {index: sum(row[1] for row in rows) for index, rows in counted.items()}
    began = dict.fromkeys(counted, go)
    if not together:  # each began as it got ready; one that was started again, before its first count
        ready = {event["index"]: event["time"] for event in events if event["event"] == "ready"}
        for index, rows in counted.items():
            began[index] = max(go, min(ready.get(index, rows[0][0]), rows[0][0] - (rows[0][3] or 0.0)))
    if counted:
        last, first, begun = max(ends.values()), min(ends.values()), max(began.values())
        found["throughput.items"] = sum(items.values())
        found["throughput.makespan"] = sum(items.values()) / (last - go)
        found["throughput.naive_sum"] = sum(items[index] / (ends[index] - began[index]) for index in counted)
        found["throughput.steady"] = None
        window = first - begun
        if len(counted) == len(workers) and window > 0 and (window >= 0.5 * (last - go) or window >= 60):
            done = sum(done_by(rows, began[index], first) for index, rows in counted.items())
            if begun > go:
                done -= sum(done_by(rows, began[index], begun) for index, rows in counted.items())
            found["throughput.steady"] = done / window
    latencies = sorted(row[3] * 1e3 for rows in counted.values() for row in rows if row[3] is not None)
    for percent in (50, 90, 99):
        if latencies:
            rank = -(-percent * len(latencies) // 100)
            found[f"latency_ms.p{percent}"] = latencies[rank - 1]
    return found


def done_by(rows: list[tuple[float, int, int, float | None]], go: float, moment: float) -> float:
    """Items by a moment; a count that it cuts through is shared in proportion to the time."""
    done, before = 0.0, go
    for time, items, _, _ in sorted(rows, key=lambda row: row[:2]):
        if time > moment:
            return done + items * (moment - before) / (time - before) if moment > before else done
        done, before = done + items, time
    return done


def differences(reported: dict[str, Any], found: dict[str, float | None]) -> list[str]:
    """A line for each figure that is not within the tolerance of the reported one."""
    lines = []
    for path, value in found.items():
        section, key = path.split(".")
        told = reported[section].get(key)
        if (told is None) != (value is None) or (
            told is not None and value is not None and abs(told - value) > TOLERANCE * abs(value)
        ):
            lines.append(f"{path}: the report says {told}, the events {value}")
    return lines


def main(words: list[str]) -> int:
    """Check one run directory."""
    if len(words) != 1:
        print("usage: python tools/recompute.py RUN-DIRECTORY", file=sys.stderr)
        return 2
    folder = Path(words[0])
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    found = figures([json.loads(line) for line in lines[1:]])
    wrong = differences(json.loads((folder / "report.json").read_text(encoding="utf-8")), found)
    for path, value in found.items():
        print(f"{path:24} {'-' if value is None else f'{value:.6g}'}")
    print("\n".join(wrong) if wrong else f"agrees with the report to {TOLERANCE:.1%}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
