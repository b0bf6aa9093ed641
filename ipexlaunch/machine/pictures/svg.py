"""The machine as an SVG for a wiki or a report: one file with nothing outside it, text that can be selected."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping

from ipexlaunch.documents.visible_text import wrapped
from ipexlaunch.machine.pictures.box_layout import FRAMED, Box, BoxLayout, Metrics, row_notes
from ipexlaunch.machine.pictures.drawing import instance_color
from ipexlaunch.machine.pictures.parts import State, machine_parts
from ipexlaunch.machine.pictures.table import distance_rule
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.wording import grouped, machine_facts

PAGE = 1160
"""Pixels between the margins; a page of a wiki shows it without scrolling sideways."""
MARGIN = 20
CELL_HEIGHT = 20
GAP = 2
"""Between the cpus' rectangles, in pixels."""

_STYLE = """\
text { font-family: "DejaVu Sans", Verdana, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 13px; fill: #1f2937 }
.title { font-size: 20px; font-weight: bold }
.fact { fill: #4b5563 }
.cpu, .far { text-anchor: middle; font-size: 12px }
.cpu.barred, .cpu.idle { fill: #6b7280 }
.use-name { fill: #334155 }
.name { font-weight: bold }
.socket { fill: #eef1f5; stroke: #64748b; stroke-width: 1.5 }
.node { fill: #ffffff; stroke: #94a3b8 }
.memory { fill: #fdf6e3; stroke: #b08d3c }
.l3 { fill: #dde6f1 }
.no-l3 { fill: none; stroke: #b6c2d1; stroke-dasharray: 2 3 }
.use.allowed { fill: #ffffff; stroke: #64748b }
.use.idle { fill: #ffffff; stroke: #9ca3af; stroke-dasharray: 3 2 }
.use.barred { fill: url(#barred); stroke: #cbd5e1 }
"""

_DARK_STYLE = """\
@media (prefers-color-scheme: dark) {
text { fill: #e6e9ee } .fact, .cpu.barred, .cpu.idle { fill: #a3adba } .use-name { fill: #cbd5e1 }
.paper { fill: #1b1f26 } .socket { fill: #242b35 } .node { fill: #1b1f26; stroke: #64748b }
.memory { fill: #3b3320 } .l3 { fill: #2b394b } .no-l3 { stroke: #475569 }
.use.allowed, .use.idle { fill: #1b1f26 } .use.barred { stroke: #475569 }
.stripe { fill: #414b59 } .ground { fill: #262d37 } text.far:not(.name) { fill: #1f2937 }
}
"""
"""Shades of distances stay light, and the text on them dark."""


def machine_svg(
    topology: Topology, assignment: Mapping[int, int] | None = None, *, title: str = "", dark: bool = False
) -> str:
    """The machine as boxes in boxes with every cpu's id, siblings below each other, as the text of an SVG file.

    Args:
        topology: the machine.
        assignment: cpu id to the index of its instance; allowed cpus that it leaves out are shown as idle.
        title: the heading; where it is empty, the cpu's name and the number of instances.
        dark: be dark where the reader's system is, as a page around it may be; else white as paper.
    """
    title = title or _title(topology, assignment)
    digits = max((len(str(cpu.id)) for cpu in topology.cpus), default=1)
    cell = max(24, 8 * digits + 8) + GAP
    metrics = Metrics(
        cell_width=cell, cell_height=CELL_HEIGHT + GAP, cells_side=GAP, band_gap=8, frame_side=10, frame_top=26,
        frame_bottom=10, header_height=22, line_height=17, gap_x=10, gap_y=10, text_width=_text_width,
    )  # fmt: skip
    boxes, taken, height = BoxLayout(metrics).arrange(machine_parts(topology, assignment), PAGE)
    words = list(machine_facts(topology))
    if any(len(cpus) > 1 for cpus in topology.cores.values()):
        words.append("a core's cpus stand below each other")
    head, top = _heading(title, words)
    below, far, bottom = _distances(topology, MARGIN + top + height + 24)
    width = max(taken, min(PAGE, _text_width(", ".join(words))), len(title) * 13, far) + 2 * MARGIN
    total = bottom or MARGIN + top + height
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{total + MARGIN}"'
        f' viewBox="0 0 {width} {total + MARGIN}" role="img" aria-label="{_escaped(title or ", ".join(words))}">',
        f"<style>\n{_STYLE}{_DARK_STYLE * dark}</style>",
        '<defs><pattern id="barred" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="ground" width="6" height="6" fill="#f1f5f9"/>'
        '<rect class="stripe" width="2" height="6" fill="#d5dce5"/></pattern></defs>',
        f'<rect class="paper" width="{width}" height="{total + MARGIN}" fill="#ffffff"/>',
        *head,
        f'<g transform="translate({MARGIN} {MARGIN + top})">',
        *(line for box in boxes for line in _draw(topology, box, cell)),
        "</g>",
        *below,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _title(topology: Topology, assignment: Mapping[int, int] | None) -> str:
    words = [topology.cpu_model] if topology.cpu_model else []
    if assignment:
        words.append(grouped(len(set(assignment.values())), "instance"))
    return ", ".join(words)


def _text_width(text: str) -> int:
    """At least the width of 13 px text in the widest of the fonts, in pixels."""
    return round(8.2 * len(text))


def _escaped(text: str) -> str:
    """The text as XML allows it in any encoding: markup and other than ASCII escaped, control characters left out."""
    printable = "".join(character for character in text if character.isprintable())
    return html.escape(printable).encode("ascii", "xmlcharrefreplace").decode("ascii")


def _text(x: float, y: float, text: str, name: str = "") -> str:
    kind = f' class="{name}"' if name else ""
    return f'<text x="{x:g}" y="{y:g}"{kind}>{_escaped(text)}</text>'


def _rect(box: tuple[float, float, float, float], name: str, radius: int, more: str = "") -> str:
    x, y, width, height = box
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}" class="{name}"{more}/>'


def _heading(title: str, words: list[str]) -> tuple[list[str], int]:
    lines = []
    y = MARGIN
    if title:
        lines.append(_text(MARGIN, y + 16, title, "title"))
        y += 30
    for line in wrapped(", ".join(words), PAGE * 10 // _text_width("x" * 10), indent=""):
        lines.append(_text(MARGIN, y + 12, line, "fact"))
        y += 18
    return lines, y + 6 - MARGIN


def _draw(topology: Topology, box: Box, cell: int) -> Iterator[str]:
    part = box.part
    if part.what == "group":
        yield from _draw_cores(topology, box, cell)
    elif part.what in FRAMED:
        yield _rect((box.x, box.y, box.width, box.height), part.what, 6)
        first, *others = box.lines
        name, colon, facts = first.partition(": ")
        span = f'<tspan class="name">{_escaped(name)}</tspan><tspan class="fact">{_escaped(colon + facts)}</tspan>'
        base = box.y + (18 if box.boxes else (box.height - 17 * len(box.lines)) // 2 + 13)
        yield f'<text x="{box.x + 10}" y="{base}">{span}</text>'
        for number, line in enumerate(others, start=1):
            yield _text(box.x + 10, base + 17 * number, line, "fact")
    elif part.what == "l3":
        ground = "l3" if part.title.startswith("L3") else "no-l3"
        yield _rect((box.x - 3, box.y, box.width + 6, box.height + 5), ground, 4)
        yield from _header(box)
    for child in box.boxes:
        yield from _draw(topology, child, cell)


def _header(box: Box) -> Iterator[str]:
    for number, line in enumerate(box.lines):
        yield _text(box.x + GAP, box.y + 16 + 17 * number, line, "use-name")


def _draw_cores(topology: Topology, box: Box, cell: int) -> Iterator[str]:
    part = box.part
    yield from _header(box)
    top = box.y + (22 + 17 * (len(box.lines) - 1) if box.lines else 0)
    notes = row_notes(part)
    siblings = len(part.states)
    step = siblings * (CELL_HEIGHT + GAP) + (8 if siblings > 1 else 0)
    for start in range(0, len(part.cores), box.per_row):
        columns = part.cores[start : start + box.per_row]
        y = top + start // box.per_row * step
        for row, state in enumerate(part.states):
            level = y + row * (CELL_HEIGHT + GAP)
            for column, core in enumerate(columns):
                yield from _draw_cpu(topology, core[row], state, box.x + GAP + column * cell, level, cell - GAP)
            if notes[row]:
                yield _text(box.x + GAP + len(columns) * cell + 4, level + 15, notes[row].strip(), "fact")


def _draw_cpu(topology: Topology, cpu_id: int, state: State, x: int, y: int, width: int) -> Iterator[str]:
    """A rectangle with the cpu's id; what it is and what it is used for show when the pointer rests on it."""
    cpu = topology.by_cpu[cpu_id]
    node = "" if cpu.node is None else f", node {cpu.node}"
    yield f"<g><title>cpu {cpu_id}: core {cpu.core}, socket {cpu.socket}{node}, {state}</title>"
    box = (x, y, width, CELL_HEIGHT)
    if state.index is not None:
        color = instance_color(state.index)
        yield _rect(box, "use", 3, f' fill="{color.hex}"')
        middle, base = x + width / 2, y + 14.5
        yield f'<text x="{middle:g}" y="{base:g}" class="cpu" style="fill:{color.text_hex}">{cpu_id}</text></g>'
        return
    name = "barred" if state.name == "not allowed" else state.name
    yield _rect(box, f"use {name}", 3)
    yield _text(x + width / 2, y + 14.5, str(cpu_id), f"cpu {name}") + "</g>"


def _distances(topology: Topology, top: int) -> tuple[list[str], int, int]:
    """The distances as a sentence, or as a matrix that is darker where it is farther; its width and where it ends."""
    nodes = topology.nodes
    if len(nodes) < 2 or not any(node.distances for node in nodes):
        return [], 0, 0
    rule = distance_rule(topology)
    if rule:
        return [_text(MARGIN, top, f"distances: {rule}")], _text_width(f"distances: {rule}"), top + 4
    lines = [_text(MARGIN, top, "distances from node (row) to node (column)")]
    cell = min(40, (PAGE - 40) // len(nodes))
    size = min(12, cell // 3 + 1)
    farthest = max(far for node in nodes for far in node.distances.values())
    y = top + 14
    for column, node in enumerate(nodes):
        lines.append(_centred(MARGIN + 40 + column * cell + cell / 2, y + 14, str(node.id), "far name", size))
    for row, node in enumerate(nodes):
        level = y + 20 + row * 22
        lines.append(_centred(MARGIN + 20, level + 15, str(node.id), "far name", size))
        for column, other in enumerate(nodes):
            far = node.distances.get(other.id)
            left = MARGIN + 40 + column * cell
            shade = _shade(far, farthest)
            lines.append(_rect((left, level, cell - 1, 21), "far", 0, f' style="fill:{shade}"'))
            lines.append(_centred(left + cell / 2, level + 15, "?" if far is None else str(far), "far", size))
    width = max(40 + cell * len(nodes), _text_width("distances from node (row) to node (column)"))
    return lines, width, y + 20 + 22 * len(nodes)


def _centred(x: float, y: float, text: str, name: str, size: int) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{name}" style="font-size:{size}px">{text}</text>'


def _shade(far: int | None, farthest: int) -> str:
    """White for a node's own memory (distance 10), darker blue the farther it is, light enough for black text."""
    if far is None:
        return "#ffffff"
    share = (far - 10) / max(1, farthest - 10)
    red, green, blue = (round(255 - share * fall) for fall in (110, 75, 35))
    return f"#{red:02x}{green:02x}{blue:02x}"
