"""Colours of the charts, as variables of the page: one drawing is read on light and on dark ground."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ipexlaunch.machine.pictures.palette import PALETTE

INK, GRID, SHADE, QUIET, BAD = "#010203", "#020304", "#030405", "#040506", "#050607"
"""Colours that matplotlib is given; `themed` turns them into the page's variables."""

INSTANCES = tuple(color.hex for color in PALETTE)

_LIGHT_INSTANCES = ("#2a86c0", "#b07800", "#00875f", "#857b00", "#0068a3", "#b8598d", "#c95700", "#882255")
_DARK_INSTANCES = ("#56b4e9", "#e69f00", "#1fbf93", "#f0e442", "#4d9de0", "#dd8fba", "#f0803c", "#d46a9f")
"""The palette's hues with at least 3 : 1 against the ground (WCAG 2.2, 1.4.11)."""

LIGHT: Mapping[str, str] = {
    "ground": "#ffffff", "page": "#f3f5f8", "ink": "#1f2937", "quiet": "#56606e", "grid": "#d9dee5", "line": "#c3cad4",
    "shade": "#e4effa", "good": "#0b6b45", "bad": "#b3261e", "warn": "#8a5a00",
    **{f"i{number}": color for number, color in enumerate(_LIGHT_INSTANCES)},
}  # fmt: skip
DARK: Mapping[str, str] = {
    "ground": "#1b1f26", "page": "#12151a", "ink": "#e6e9ee", "quiet": "#a3adba", "grid": "#333a45", "line": "#434c59",
    "shade": "#22344a", "good": "#5fd3a2", "bad": "#ff8a80", "warn": "#f2c265",
    **{f"i{number}": color for number, color in enumerate(_DARK_INSTANCES)},
}  # fmt: skip
"""Variable to colour."""

_VARIABLES = {INK: "ink", GRID: "grid", SHADE: "shade", QUIET: "quiet", BAD: "bad"} | {
    color: f"i{number}" for number, color in enumerate(INSTANCES)
}
_COLOR = re.compile("|".join(_VARIABLES), re.IGNORECASE)


def themed(svg: str) -> str:
    """A chart for the page: colours as variables, no size of its own, no names that another chart could have too.

    Args:
        svg: as matplotlib writes it.
    """
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<g) id="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg [^>]*?)\s+width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?)\s+height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"\n\s+", "\n", svg)
    return _COLOR.sub(lambda match: f"var(--{_VARIABLES[match[0].lower()]})", svg).strip()


def style_variables() -> str:
    """The variables as CSS: light, and dark where the reader's system is."""

    def block(colors: Mapping[str, str]) -> str:
        return " ".join(f"--{name}: {color};" for name, color in colors.items())

    return (
        f":root {{ color-scheme: light dark; {block(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {block(DARK)} }} }}\n"
    )
