"""Colours of instances, chosen so that colour-blind people can tell neighbours apart; the number is always written too.

Source: Okabe and Ito, "Color Universal Design" (2008): seven of its eight colours; black is kept for text. The eighth
is wine from Paul Tol's qualitative scheme "muted" (2018).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Color:
    """One colour with the text colour that can be read on it."""

    hex: str
    xterm: int
    """The nearest of the 256 colours of terminals."""
    text_hex: str
    text_xterm: int


PALETTE = (
    Color("#56b4e9", 74, "#000000", 16),
    Color("#e69f00", 214, "#000000", 16),
    Color("#009e73", 36, "#000000", 16),
    Color("#f0e442", 227, "#000000", 16),
    Color("#0072b2", 25, "#ffffff", 231),
    Color("#cc79a7", 175, "#000000", 16),
    Color("#d55e00", 166, "#000000", 16),
    Color("#882255", 89, "#ffffff", 231),
)


def instance_color(index: int) -> Color:
    """The colour of an instance; it comes again after eight.

    Args:
        index: of the instance, from 0.
    """
    return PALETTE[index % len(PALETTE)]


def ansi_style(index: int) -> str:
    """The escape sequence that writes in an instance's colour: text on a coloured ground.

    Args:
        index: of the instance, from 0.
    """
    color = instance_color(index)
    return f"\x1b[38;5;{color.text_xterm};48;5;{color.xterm}m"
