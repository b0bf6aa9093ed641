"""What HAProxy counts of each slot, read from the table that its admin socket prints.

Source: management.txt of 2.6, section 9.1, statistics in CSV format.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ipexlaunch.errors import DocumentError
from ipexlaunch.serve.haproxy_config import BACKEND, FRONTEND, SERVER

State = Literal["ready", "drain", "maint", "down"]
"""What a slot may get: requests; none, while it finishes those that it has; none, by the launcher's word; none, because
the proxy's own probes failed."""

SOURCE = "the statistics of haproxy"

_ANSWERS = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFigures:
    """One slot since the proxy began."""

    index: int
    state: State
    in_flight: int
    done: int
    """Answers that came from it, of whatever status."""
    done_5xx: int
    """Those of them that say that the server failed."""
    failed: int
    """Tries that ended before the end of an answer; as HAProxy counts, with some of those that were made again."""
    broken_off: int
    """Answers that ended in their middle, because the server did."""
    retries: int
    """Tries that ended before an answer began, and were made again, here or elsewhere."""
    moved: int
    """Those of them that were made elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFigures:
    """What came to the endpoint since the proxy began."""

    slots: tuple[SlotFigures, ...]
    in_flight: int
    """With those that wait for a slot."""
    requests: int
    refused: int
    """Answered with 5xx by the proxy itself: no slot was ready, or none answered."""
    retries: int
    moved: int
    failed: int
    """Those refused, and those whose answer broke off. A request that may not be repeated and is not the first on its
    client's connection gets no answer at all (src/http_ana.c, abort_keep_alive), and is not counted."""


def read_show_stat(text: str) -> EndpointFigures:
    """What `show stat` printed; slots are in the order of their index.

    Args:
        text: the CSV, with its header line.

    Raises:
        DocumentError: a row or a column is missing, or holds no number.
    """
    lines = text.removeprefix("# ").strip().splitlines()
    rows = {(row.get("pxname", ""), row.get("svname", "")): row for row in csv.DictReader(lines)}
    front, back = _row(rows, FRONTEND, "FRONTEND"), _row(rows, BACKEND, "BACKEND")
    slots = [_slot(name, row) for (proxy, name), row in rows.items() if proxy == BACKEND and name.startswith(SERVER)]
    refused = max(0, _number(front, "hrsp_5xx") - sum(slot.done_5xx for slot in slots))
    return EndpointFigures(
        slots=tuple(sorted(slots, key=lambda slot: slot.index)),
        in_flight=_number(back, "scur"),
        requests=_number(front, "req_tot"),
        refused=refused,
        retries=_number(back, "wretr"),
        moved=_number(back, "wredis"),
        failed=refused + sum(slot.broken_off for slot in slots),
    )


def _slot(name: str, row: Mapping[str, str]) -> SlotFigures:
    digits = name.removeprefix(SERVER)
    if not digits.isdigit():
        raise DocumentError(SOURCE, name, "the name of a server is no slot's", f"it is {SERVER}0 or the like")
    return SlotFigures(
        index=int(digits),
        state=_state(row.get("status", "")),
        in_flight=_number(row, "scur"),
        done=sum(_number(row, column) for column in _ANSWERS),
        done_5xx=_number(row, "hrsp_5xx"),
        failed=_number(row, "econ") + _number(row, "eresp"),
        broken_off=_number(row, "srv_abrt"),
        retries=_number(row, "wretr"),
        moved=_number(row, "wredis"),
    )


def _state(status: str) -> State:
    """Of words such as "UP", "UP 1/3", "no check", "DOWN 1/2", "DRAIN (agent)", "MAINT (via x/y)"."""
    first = status.partition(" ")[0]
    known: dict[str, State] = {"UP": "ready", "no": "ready", "DRAIN": "drain", "MAINT": "maint", "NOLB": "drain"}
    return known.get(first, "down")


def _row(rows: Mapping[tuple[str, str], Mapping[str, str]], proxy: str, name: str) -> Mapping[str, str]:
    row = rows.get((proxy, name))
    if row is None:
        raise DocumentError(SOURCE, f"{proxy}/{name}", "there is no such row", "the configuration is another's")
    return row


def _number(row: Mapping[str, str], column: str) -> int:
    text = row.get(column) or "0"
    if column not in row or not text.isdigit():
        where = f"{row.get('pxname')}/{row.get('svname')}, {column}"
        raise DocumentError(SOURCE, where, f"{row.get(column)!r} is no number", "HAProxy 2.4 or later prints one")
    return int(text)
