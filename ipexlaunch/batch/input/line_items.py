"""Items from lines: every line of plain text, or a JSON value a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable

from ipexlaunch.batch.input.input_rules import BadLine, BadRow, ItemMaker
from ipexlaunch.batch.input.read_lines import TO_UTF_8, TooLong, bad_line, not_utf_8, too_long
from ipexlaunch.batch.items import Item
from ipexlaunch.documents.read_text import read_json


def json_items(
    lines: Iterable[bytes | TooLong], maker: ItemMaker, skip: Callable[[int], bool], first: int = 0, begin: int = 1
) -> Generator[Item | BadLine, None, int]:
    """Every item of the lines, in order, or why a line gives none; returns the number after the last.

    Args:
        lines: of the input.
        maker: makes an item of a value.
        skip: whether the item of this number is not wanted: its line need not be looked at, which takes long.
        first: the number of the first.
        begin: the number of the first line.
    """
    number = first
    for place, line in enumerate(lines, begin):
        if isinstance(line, TooLong):
            yield too_long(number, place, line, maker.rules.longest_line_bytes)
        elif not line or line.isspace():
            continue
        elif not skip(number):
            try:
                yield maker.item(read_json(line), number, place, len(line))
            except BadRow as bad:
                yield bad_line(number, place, line, bad.problem, bad.hint, bad.id)
            except UnicodeDecodeError as error:
                yield bad_line(number, place, line, not_utf_8(line, error), TO_UTF_8)
            except json.JSONDecodeError as error:
                yield bad_line(number, place, line, f"it is not JSON ({error})", _hint(line, error.msg))
            except ValueError as error:
                yield bad_line(number, place, line, str(error))
        number += 1
    return number


def _hint(line: bytes, problem: str) -> str:
    text = line.strip()
    if text.startswith(b"[") and not text.startswith(b"['"):
        return "if the file is one list of many lines: jq -c '.[]' FILE | ipexlaunch batch --input - --format jsonl"
    if text.endswith(b","):
        return "if lines end in commas: sed 's/,[[:space:]]*$//' FILE | ipexlaunch batch --input - --format jsonl"
    if text in (b"{", b"]", b"}"):
        return "if values have several lines: jq -c . FILE | ipexlaunch batch --input - --format jsonl"
    if text.startswith(b"\x1e"):
        return (
            "if values begin with a record separator (RFC 7464): tr -d '\\036' < FILE | ipexlaunch batch --input - ..."
        )
    if text.startswith((b"{'", b"['")):
        return (
            "if lines are Python's: python3 -c 'import ast, json, sys; "
            "[print(json.dumps(ast.literal_eval(line))) for line in sys.stdin]' < FILE | ipexlaunch batch --input - ..."
        )
    if problem.startswith("Extra data") and text[-1:] in b"}]":
        return "if a line holds several values: jq -c . FILE | ipexlaunch batch --input - --format jsonl"
    if text[:1] not in b'{["-0123456789tfn':
        return "if its lines are no JSON: --format text, csv or tsv"
    return ""


def text_items(
    lines: Iterable[bytes | TooLong], maker: ItemMaker, first: int = 0, begin: int = 1
) -> Generator[Item | BadLine, None, int]:
    r"""Every line without its end, be it \n or \r\n, or why it gives no item; returns the number after the last.

    Args:
        lines: of the input.
        maker: its rules say the longest line.
        first: the number of the first.
        begin: the number of the first line.
    """
    place = begin - 1
    for place, line in enumerate(lines, begin):
        number = first + place - begin
        if isinstance(line, TooLong):
            yield too_long(number, place, line, maker.rules.longest_line_bytes)
            continue
        try:
            yield Item(number, maker.place_id(place), line.removesuffix(b"\r").decode(), len(line))
        except UnicodeDecodeError as error:
            yield bad_line(number, place, line, not_utf_8(line, error), TO_UTF_8)
    return first + place - begin + 1
