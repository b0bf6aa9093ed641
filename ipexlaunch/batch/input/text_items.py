"""Items from plain text: every line is one, an empty line too, so that item and line numbers never part."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from ipexlaunch.batch.input.input_rules import BadLine, ItemMaker
from ipexlaunch.batch.input.lines import TO_UTF_8, TooLong, bad_line, not_utf_8, too_long
from ipexlaunch.batch.items import Item


def text_items(
    lines: Iterable[bytes | TooLong], maker: ItemMaker, first: int = 0
) -> Generator[Item | BadLine, None, int]:
    r"""Every line without its end, be it \n or \r\n, or why it gives no item; returns the number after the last.

    Args:
        lines: of the input.
        maker: its rules say the longest line.
        first: the number of the first.
    """
    place = 0
    for place, line in enumerate(lines, 1):
        number = first + place - 1
        if isinstance(line, TooLong):
            yield too_long(number, place, line, maker.rules.longest_line_bytes)
            continue
        try:
            yield Item(number, maker.place_id(place), line.removesuffix(b"\r").decode(), len(line))
        except UnicodeDecodeError as error:
            yield bad_line(number, place, line, not_utf_8(line, error), TO_UTF_8)
    return first + place
