"""The machine drawn with characters: boxes for sockets and nodes, a column for each core, colours for instances.

Colours of instances, chosen so that colour-blind people can tell neighbours apart; the number is always written too.

Source: Okabe and Ito, "Color Universal Design" (2008): seven of its eight colours; black is kept for text. The eighth
is wine from Paul Tol's qualitative scheme "muted" (2018).

Drawings for terminals that know no more than ASCII: lines of boxes and trees as +, - and |.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ipexlaunch.documents.visible_text import wrapped
from ipexlaunch.machine.pictures.box_layout import FRAMED, Box, BoxLayout, Metrics, row_notes
from ipexlaunch.machine.pictures.parts import Part, State, machine_parts
from ipexlaunch.machine.pictures.table import distance_lines
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.wording import heading_lines


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


NARROWEST = 40
"""Narrower terminals are drawn for as if they had so many columns; frames and titles need them."""


def machine_drawing(
    topology: Topology,
    assignment: Mapping[int, int] | None = None,
    *,
    width: int = 100,
    color: bool = False,
) -> str:
    """The machine as boxes in boxes with every cpu's id, siblings below each other; no line is longer than `width`.

    Args:
        topology: the machine.
        assignment: cpu id to the index of its instance; allowed cpus that it leaves out are shown as idle.
        width: columns of the terminal, taken as 40 where it is less.
        color: with ANSI colours; the words say the same without them.
    """
    width = max(width, NARROWEST)
    cell = max((len(str(cpu.id)) for cpu in topology.cpus), default=1) + 1
    metrics = Metrics(
        cell_width=cell, cell_height=1, cells_side=1, band_gap=1, frame_side=2, frame_top=1, frame_bottom=1,
        header_height=1, line_height=1, gap_x=2, gap_y=0, text_width=len,
    )  # fmt: skip
    boxes, taken, height = BoxLayout(metrics).arrange(machine_parts(topology, assignment), width)
    canvas = _Canvas(taken, height)
    for box in boxes:
        _draw(canvas, box, cell)
    lines = heading_lines(topology, width)
    if any(len(cpus) > 1 for cpus in topology.cores.values()):
        lines += wrapped("the cpus of one core stand below each other", width)
    lines += [*canvas.lines(color), *distance_lines(topology, width)]
    return "\n".join(lines) + "\n"


class _Canvas:
    """Characters with a style each."""

    def __init__(self, width: int, height: int) -> None:
        self._characters = [[" "] * width for _ in range(height)]
        self._styles = [[""] * width for _ in range(height)]

    def write(self, x: int, y: int, text: str, style: str = "") -> None:
        self._characters[y][x : x + len(text)] = text
        self._styles[y][x : x + len(text)] = [style] * len(text)

    def lines(self, color: bool) -> list[str]:
        """The rows, without blanks at their ends, with escape sequences where the style changes if `color`."""
        if not color:
            return ["".join(row).rstrip() for row in self._characters]
        lines = []
        for characters, styles in zip(self._characters, self._styles, strict=True):
            line, current = "", ""
            for character, style in zip(characters, styles, strict=True):
                if style != current:
                    line += ("\x1b[0m" if current else "") + style
                    current = style
                line += character
            lines.append(line + "\x1b[0m" if current else line.rstrip())
        return lines


def _draw(canvas: _Canvas, box: Box, cell: int) -> None:
    if box.part.what in FRAMED:
        _draw_frame(canvas, box)
    elif box.part.what == "group":
        _draw_cores(canvas, box, cell)
    else:
        _draw_header(canvas, box)
    for child in box.boxes:
        _draw(canvas, child, cell)


def _draw_frame(canvas: _Canvas, box: Box) -> None:
    right, bottom = box.x + box.width - 1, box.y + box.height - 1
    canvas.write(box.x, box.y, "┌" + "─" * (box.width - 2) + "┐")
    canvas.write(box.x, bottom, "└" + "─" * (box.width - 2) + "┘")
    for y in range(box.y + 1, bottom):
        canvas.write(box.x, y, "│")
        canvas.write(right, y, "│")
    first, *others = box.lines
    if first:
        canvas.write(box.x + 1, box.y, f" {first} "[: box.width - 2])
    for number, line in enumerate(others, start=1):
        canvas.write(box.x + 2, box.y + number, line[: box.width - 4])


def _draw_header(canvas: _Canvas, box: Box) -> None:
    for number, line in enumerate(box.lines):
        canvas.write(box.x, box.y + number, line)
        rule = box.width - len(line) - 1
        if number == len(box.lines) - 1 and rule > 0:
            canvas.write(box.x + len(line) + 1, box.y + number, "─" * rule)


def _draw_cores(canvas: _Canvas, box: Box, cell: int) -> None:
    part: Part = box.part
    _draw_header(canvas, box)
    top = box.y + len(box.lines)
    notes = row_notes(part)
    step = len(part.states) + (1 if len(part.states) > 1 else 0)
    for start in range(0, len(part.cores), box.per_row):
        columns = part.cores[start : start + box.per_row]
        y = top + start // box.per_row * step
        for row, state in enumerate(part.states):
            text = "".join(str(core[row]).rjust(cell) for core in columns) + " "
            canvas.write(box.x, y + row, text, _style(state))
            canvas.write(box.x + len(text), y + row, notes[row].removeprefix(" "))


def _style(state: State) -> str:
    if state.index is not None:
        return ansi_style(state.index)
    return "\x1b[2m" if state.name in ("not allowed", "idle") else ""
