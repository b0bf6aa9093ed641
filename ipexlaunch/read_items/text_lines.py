"""Items from plain text: every line is one, an empty line too, so that item and line numbers never part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ipexlaunch.batching.input_rules import BadLine, ItemMaker
from ipexlaunch.batching.items import Item
from ipexlaunch.read_items.lines import TO_UTF_8, TooLong, bad_line, not_utf_8, too_long


def text_items(
    lines: Iterable[bytes | TooLong], maker: ItemMaker, skip: Callable[[int], bool]
) -> Iterator[Item | BadLine]:
    r"""Every line without its end, be it \n or \r\n, or why it gives no item.

    Args:
        lines: of the input.
        maker: its rules say the longest line.
        skip: whether the item of this number is not wanted; its line is not looked at.
    """
    for number, line in enumerate(lines):
        if skip(number):
            continue
        if isinstance(line, TooLong):
            yield too_long(number, number + 1, line, maker.rules.longest_line_bytes)
            continue
        try:
            yield Item(number, number + 1, line.removesuffix(b"\r").decode(), len(line))
        except UnicodeDecodeError as error:
            yield bad_line(number, number + 1, line, not_utf_8(line, error), TO_UTF_8)
