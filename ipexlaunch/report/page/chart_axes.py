"""A chart's axes, legend and rows of instances, in colours that are variables of the page: light and dark ground."""

from __future__ import annotations

import math
import re
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from ipexlaunch.machine.pictures.drawing import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


WIDE, NARROW = 9.0, 4.0
"""Inches: for a page, and for one of about 420 pixels."""

"""Inches, at 72 points."""

STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",  # text stays text: small, and can be selected
    "svg.hashsalt": "ipexlaunch",  # the same run gives the same page
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.parse_math": False,  # a name may have dollars in it
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "patch.linewidth": 1.4,
}


def whole_steps(axis: Any) -> None:
    """Have an axis count in whole numbers.

    Args:
        axis: of matplotlib.
    """
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))


LONGEST_LABEL = 44
"""Characters of a line below a narrow picture."""

KINDS = (("drawn wide", WIDE), ("drawn narrow", NARROW))
"""Classes of the page's style, and inches."""


def chart(draw: Callable[[Axes], None], height: float) -> str:
    """One set of axes for a page, drawn without a display: a wide SVG and a narrow one, of which the page shows one.

    Args:
        draw: draws on the axes; called for each.
        height: in inches.
    """
    return "".join(f'<div class="{kind}">{_svg(draw, width, height)}</div>' for kind, width in KINDS)


def _svg(draw: Callable[[Axes], None], width: float, height: float) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = dict(STYLE)  # its keys are settings, which newer releases spell out as a type
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a character that its font has not: the reader's browser has it
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        draw(axes)
        if width == NARROW:
            axes.set_xlabel(textwrap.fill(axes.get_xlabel(), LONGEST_LABEL))
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return themed(out.getvalue())


def shown_name(text: str) -> str:
    """A name that came from outside as a chart can show it: every character is seen, and none hides it.

    Args:
        text: of any kind.
    """
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return f" {printable}" if printable.startswith("_") else printable  # matplotlib leaves "_name" out of legends


def label_instances(axes: Axes, indices: Sequence[int]) -> None:
    """The instances as rows, the first on top, with as many labels as can be read."""
    every = max(1, math.ceil(len(indices) / 32))
    axes.set_yticks(range(0, len(indices), every), [str(index) for index in indices[::every]])
    axes.set_ylim(len(indices) - 0.4, -0.6)
    axes.set_ylabel("instance")
    axes.grid(False, axis="y")


def rows_height(rows: int) -> float:
    """Inches that so many rows need."""
    return min(7.0, 1.6 + 0.28 * rows)


def plain_numbers(axes: Axes) -> None:
    """ "20" rather than "2 x 10^1" along a logarithmic axis."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def show_legend(axes: Axes) -> None:
    """Above the axes, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 5 if axes.figure.bbox.width / axes.figure.dpi > (WIDE + NARROW) / 2 else 2
    if handles:
        axes.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, fontsize=9, borderaxespad=0.2
        )
