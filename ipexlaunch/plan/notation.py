"""What users write of a plan: lists of cpus and nodes, and sizes of memory.

Lists: "0-3,8", "0-31:2", "!5", "+0-3", "all", and one list for each instance, "0-31|32-63". Sizes: "24GiB".

Source: numactl(8) for "all", "+" and "!"; taskset(1) for the stride; VLLM_CPU_OMP_THREADS_BIND for "|".
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from ipexlaunch.documents.visible_text import quoted, whole_number
from ipexlaunch.errors import PlanError, RequestError
from ipexlaunch.machine.cpulist import format_list, parse_range

LIST_HINT = 'write ids and ranges such as "0-3,8", "0-31:2", "!5", "+0-3" or "all"'


@dataclass(frozen=True, slots=True)
class ListedIds:
    """What a list means on one machine."""

    ids: frozenset[int]
    named: frozenset[int]
    """Those that the text names by their number; "all" and "!" name nothing."""


def split_instances(text: str) -> list[str]:
    """The list of each instance in "0-31|32-63"."""
    return [part.strip() for part in text.split("|")]


def parse_id_list(text: str, option: str, noun: str, allowed: frozenset[int], present: Collection[int]) -> ListedIds:
    """The ids that a list means on a machine.

    A leading "!" inverts the whole list within the allowed ids; a later item with "!" takes its ids away;
    "+N" is the N-th allowed id, counted from 0; "N-M:S" is every S-th id of the range.

    Args:
        text: the list; "|" separates lists, whose union is returned.
        option: the option that it came from, for messages.
        noun: "cpu" or "node", for messages.
        allowed: the ids that may be used.
        present: the ids that exist, so that a message can tell absent from not allowed.

    Raises:
        RequestError: malformed text, or a list that ends up empty.
        PlanError: an id that does not exist or is not allowed.
    """
    order = sorted(allowed)
    ids: set[int] = set()
    named: set[int] = set()
    for part in split_instances(text):
        found, by_number = _read_one(part, text, option, order)
        ids |= found
        named |= by_number
    if unknown := ids - allowed:
        _refuse(unknown, text, option, noun, allowed, present)
    return ListedIds(frozenset(ids), frozenset(named & ids))


def check_syntax(text: str, option: str) -> None:
    """Refuse malformed text without knowing the machine; relative items are read as if every id were allowed.

    Raises:
        RequestError: the text is not such a list.
    """
    for part in split_instances(text):
        _read_one(part, text, option, None)


def _read_one(part: str, text: str, option: str, order: list[int] | None) -> tuple[set[int], set[int]]:
    inverted = part.startswith("!")
    body = part[1:] if inverted else part
    if not body.strip():
        what = "it is empty" if not text.strip() else f"{quoted(part)} names nothing"
        raise RequestError(f"read {option} {quoted(text)}", what, LIST_HINT)
    ids: set[int] = set()
    named: set[int] = set()
    for raw in body.split(","):
        item = raw.strip()
        without = item.startswith("!")
        found, by_number = _read_item(item[1:] if without else item, text, option, order)
        if without:
            ids -= found
        else:
            ids |= found
            if by_number:
                named |= found
    if order is None:
        return ids, named
    if inverted:
        ids, named = set(order) - ids, set()
    if not ids:
        raise RequestError(f"read {option} {quoted(text)}", f"{quoted(part)} leaves nothing", LIST_HINT)
    return ids, named & ids


def _read_item(item: str, text: str, option: str, order: list[int] | None) -> tuple[set[int], bool]:
    """(ids, whether they were named by number) of "all", "3", "0-7", "0-7:2", "+0-3"."""
    if item == "all":
        return set(order or ()), False
    relative, wanted = item.startswith("+"), f"read {option} {quoted(text)}"
    span, colon, step_text = (item[1:] if relative else item).partition(":")
    numbers, step = parse_range(span, item, wanted, LIST_HINT), whole_number(step_text)
    if colon and (not step or "-" not in span):
        raise RequestError(wanted, f"{quoted(item)} has no valid stride", 'write e.g. "0-31:2"')
    if not relative or order is None:
        return set(numbers[:: step or 1]), not relative
    if numbers[-1] >= len(order):
        what = f"{quoted(item)} counts further than the {len(order)} allowed ones"
        raise RequestError(wanted, what, f'the last one is "+{len(order) - 1}"')
    return {order[number] for number in numbers[:: step or 1]}, False


def _refuse(
    unknown: set[int], text: str, option: str, noun: str, allowed: frozenset[int], present: Collection[int]
) -> None:
    absent = [number for number in unknown if number not in present]
    forbidden = unknown.difference(absent)
    parts = []
    if absent:
        do, are = ("does", "is") if len(absent) == 1 else ("do", "are")
        parts.append(f"{noun}{'s' * (len(absent) > 1)} {format_list(absent)} {do} not exist or {are} offline")
    if forbidden:
        many, are = ("s", "are") if len(forbidden) > 1 else ("", "is")
        parts.append(f"{noun}{many} {format_list(forbidden)} {are} not allowed here")
    raise PlanError(f"use {option} {text}", " and ".join(parts), f"allowed {noun}s are {format_list(allowed)}")


_UNITS = {
    "b": 1,
    **{
        unit: 1 << 10 * power
        for power, letter in enumerate("kmgt", 1)
        for unit in (letter, f"{letter}i", f"{letter}ib")
    },
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
}


LARGEST_BYTES = 1 << 60


_NAMES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def parse_bytes(text: str, option: str) -> int:
    """Bytes of "24GiB" or "24Gi", "24G" (binary too, as in systemd and Slurm), "24GB" (decimal) or "1024B".

    Args:
        text: as a person wrote it; a number without its unit is none, because nobody means 24 bytes.
        option: for the message.

    Raises:
        RequestError: the text is not such a size.
    """
    match = re.fullmatch(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([a-z]*)\s*", text.lower())
    unit = None if match is None else _UNITS.get(match[2])
    if match is None or unit is None:
        what = "it has no unit" if match is not None and not match[2] else "it is not a size"
        raise RequestError(f"read {option} {text!r}", what, 'write e.g. "24GiB" or "24GB"')
    size = int(float(match[1]) * unit)
    if not 1 <= size <= LARGEST_BYTES:
        raise RequestError(f"read {option} {text!r}", "no memory has that size", 'write e.g. "24GiB" or "24GB"')
    return size


def format_bytes(amount: int) -> str:
    """The size in the largest binary unit that leaves at least 1, with one digit after the point where it is needed."""
    for unit, name in _NAMES:
        if amount >= unit:
            number = amount / unit
            return f"{number:.0f} {name}" if number == int(number) else f"{number:.1f} {name}"
    return f"{amount} B"
