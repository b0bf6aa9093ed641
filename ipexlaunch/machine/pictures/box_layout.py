"""Where each part of a machine goes: boxes in rows and columns, in as little height as a given width allows.

The same arithmetic serves the terminal (in characters) and the SVG (in pixels).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ipexlaunch.machine.pictures.parts import Part

MOST_COLUMNS = 16
"""No row holds more boxes; more would be too narrow to read, and each number is tried."""
LONG_WORDS = 24
"""Characters; shorter titles and facts, such as "128 GiB" and "not allowed", are not broken into lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Sizes, all in the same unit (characters or pixels)."""

    cell_width: int
    cell_height: int
    cells_side: int
    """Added to the width of a row of cells."""
    band_gap: int
    """Between two rows of cores whose siblings stand below each other."""
    frame_side: int
    """Left and right of what a socket, node or memory box holds."""
    frame_top: int
    frame_bottom: int
    header_height: int
    """Of the title of an L3 cache or group."""
    line_height: int
    gap_x: int
    gap_y: int
    text_width: Callable[[str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A part at its place; x and y are those of its upper left corner, from the upper left of the whole drawing."""

    part: Part
    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]
    """The title with its facts: the first goes on the frame or is the header, the others stand below it."""
    boxes: tuple[Box, ...] = ()
    per_row: int = 0
    """Of a group: cores in one row."""


FRAMED = ("socket", "node", "memory")


@dataclass(frozen=True, slots=True)
class _Grid:
    """Sizes of parts in rows: what each may use, what each takes, and the height of each row."""

    shares: list[list[int]]
    widths: list[list[int]]
    heights: list[int]
    broken: int


@dataclass(frozen=True, slots=True)
class _Size:
    """What a part takes of the width that it was offered."""

    width: int
    height: int
    broken: int
    """Lines more than its titles would have where there is room; titles in one line read better."""


@dataclass
class BoxLayout:
    """Arranges parts at given widths; it remembers the sizes of parts of the same shape."""

    metrics: Metrics
    _shapes: dict[object, int] = field(default_factory=dict)
    _shape_of: dict[int, int] = field(default_factory=dict)
    _sizes: dict[tuple[int, int], _Size] = field(default_factory=dict)
    _rows: dict[tuple[tuple[int, ...], int], list[list[int]]] = field(default_factory=dict)

    def arrange(self, parts: Sequence[Part], width: int) -> tuple[tuple[Box, ...], int, int]:
        """The boxes of the outermost parts, and the width and height that they take.

        Args:
            parts: the outermost parts.
            width: what may be used; more is taken only where one cell with its frames needs more.
        """
        size = self._grid_size(parts, self._best_rows(parts, width), width)
        return self._place(parts, width, 0, 0), size.width, size.height

    def _lines(self, part: Part, width: int) -> tuple[str, ...]:
        """Title and facts, as many on the first line as fit."""
        if part.what not in FRAMED:
            return self._header_lines(part.title, width)
        room = width - 2 * self.metrics.frame_side
        lines = [part.title]
        for number, fact in enumerate(part.facts):
            joined = f"{lines[-1]}, {fact}" if number else f"{part.title}: {fact}"
            if self.metrics.text_width(joined) <= room:
                lines[-1] = joined
            else:
                lines += self._header_lines(fact, room)
        return tuple(lines)

    def _header_lines(self, title: str, width: int) -> tuple[str, ...]:
        """The title, broken between its words where it is too long for the width and not a short one."""
        if len(title) <= LONG_WORDS:
            return (title,) if title else ()
        lines: list[str] = []
        for word in title.split():
            if lines and self.metrics.text_width(f"{lines[-1]} {word}") <= width:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        return tuple(lines)

    def _frame(self, part: Part, width: int) -> tuple[int, int, int]:
        """Left (and right), top and bottom of what the part's box holds."""
        sizes = self.metrics
        more = max(0, len(self._lines(part, width)) - 1) * sizes.line_height
        if part.what in FRAMED:
            return sizes.frame_side, sizes.frame_top + more, sizes.frame_bottom
        return 0, sizes.header_height + more if part.title else 0, 0

    def _shape(self, part: Part) -> int:
        """A number that parts of the same shape share, so that each shape is measured once."""
        known = self._shape_of.get(id(part))
        if known is None:
            text = self.metrics.text_width
            shape = (
                part.what,
                text(part.title) if part.title else 0,
                tuple(text(fact) for fact in part.facts),
                len(part.cores),
                len(part.states),
                text(_longest_note(part)),
                tuple(self._shape(child) for child in part.parts),
            )
            known = self._shape_of[id(part)] = self._shapes.setdefault(shape, len(self._shapes))
        return known

    def _size(self, part: Part, width: int) -> _Size:
        """The size of the part's box where it may use `width`."""
        key = (self._shape(part), width)
        if key not in self._sizes:
            self._sizes[key] = self._measure(part, width)
        return self._sizes[key]

    def _measure(self, part: Part, width: int) -> _Size:
        sizes = self.metrics
        side, top, bottom = self._frame(part, width)
        inside = width - 2 * side
        held = _Size(0, 0, 0)
        if part.what == "group":
            held = self._group_size(part, inside)
        elif part.parts:
            held = self._grid_size(part.parts, self._best_rows(part.parts, inside), inside)
        lines = self._lines(part, width)
        titles = max((sizes.text_width(line) for line in lines), default=0)
        broken = held.broken + max(0, len(lines) - 1)
        return _Size(max(held.width, titles) + 2 * side, held.height + top + bottom, broken)

    def per_row(self, part: Part, width: int) -> int:
        """How many cores of a group stand in one row: all, or equal rows where that costs no more than one row."""
        sizes = self.metrics
        note = sizes.text_width(_longest_note(part))
        most = max(1, (width - sizes.cells_side - note) // sizes.cell_width)
        count = len(part.cores)
        fewest = -(-count // most)
        for rows in (fewest, fewest + 1):
            if count % rows == 0:
                return count // rows
        return -(-count // fewest)

    def _group_size(self, part: Part, width: int) -> _Size:
        sizes = self.metrics
        per_row = self.per_row(part, width)
        bands = -(-len(part.cores) // per_row)
        siblings = len(part.states)
        height = bands * siblings * sizes.cell_height
        if siblings > 1:
            height += (bands - 1) * sizes.band_gap
        note = sizes.text_width(_longest_note(part))
        return _Size(per_row * sizes.cell_width + sizes.cells_side + note, height, 0)

    def _best_rows(self, parts: Sequence[Part], width: int) -> list[list[int]]:
        """Which of the parts stand in which row: least height, then fewest broken titles, then fewest columns."""
        key = (tuple(self._shape(part) for part in parts), width)
        if key not in self._rows:
            choices = [self._columns(parts, count) for count in range(1, min(len(parts), MOST_COLUMNS) + 1)]
            if not any(part.what in FRAMED for part in parts):
                choices.append(self._flow(parts, width))
            fitting = [choice for choice in choices[1:] if self._grid_size(parts, choice, width).width <= width]
            self._rows[key] = min([choices[0], *fitting], key=lambda rows: self._cost(parts, rows, width))
        return self._rows[key]

    def _cost(self, parts: Sequence[Part], rows: list[list[int]], width: int) -> int:
        """The height, and half a line for each line that the titles are broken into."""
        size = self._grid_size(parts, rows, width)
        return 2 * size.height + size.broken * self.metrics.line_height

    def _columns(self, parts: Sequence[Part], count: int) -> list[list[int]]:
        return [list(range(start, min(start + count, len(parts)))) for start in range(0, len(parts), count)]

    def _flow(self, parts: Sequence[Part], width: int) -> list[list[int]]:
        """Each part as wide as it likes, a new row where the next one does not fit."""
        rows: list[list[int]] = []
        left = 0
        for number, part in enumerate(parts):
            wants = self._size(part, width).width
            if rows and wants <= left:
                rows[-1].append(number)
                left -= wants + self.metrics.gap_x
            else:
                rows.append([number])
                left = width - wants - self.metrics.gap_x
        return rows

    def _shares(self, parts: Sequence[Part], rows: list[list[int]], width: int) -> list[list[int]]:
        """What each part of each row may use: what it likes where that fits everywhere, else an equal share."""
        gaps = self.metrics.gap_x
        likes = [[self._size(parts[number], width).width for number in row] for row in rows]
        if all(sum(row) + gaps * (len(row) - 1) <= width for row in likes):
            return likes
        columns = len(rows[0])
        return [[(width - gaps * (columns - 1)) // columns] * len(row) for row in rows]

    def _grid(self, parts: Sequence[Part], rows: list[list[int]], width: int) -> _Grid:
        """What the parts of each row may use and take (equal down a column where that fits), and the rows' heights."""
        columns = len(rows[0])
        shares = self._shares(parts, rows, width)
        sizes = [
            [self._size(parts[number], share) for number, share in zip(row, row_shares, strict=True)]
            for row, row_shares in zip(rows, shares, strict=True)
        ]
        widths = [[size.width for size in row] for row in sizes]
        widest = [max(row[column] for row in widths if column < len(row)) for column in range(columns)]
        regular = all(len(row) <= columns for row in rows)
        if regular and sum(widest) + self.metrics.gap_x * (columns - 1) <= width:
            widths = [widest[: len(row)] for row in widths]
        heights = [max(size.height for size in row) for row in sizes]
        return _Grid(shares, widths, heights, sum(size.broken for row in sizes for size in row))

    def _grid_size(self, parts: Sequence[Part], rows: list[list[int]], width: int) -> _Size:
        grid = self._grid(parts, rows, width)
        gap_x, gap_y = self.metrics.gap_x, self.metrics.gap_y
        taken = max(sum(row) + gap_x * (len(row) - 1) for row in grid.widths)
        return _Size(taken, sum(grid.heights) + gap_y * (len(grid.heights) - 1), grid.broken)

    def _place(self, parts: Sequence[Part], width: int, x: int, y: int) -> tuple[Box, ...]:
        """The parts' boxes, the first one's corner at x and y, arranged in `width`."""
        rows = self._best_rows(parts, width)
        grid = self._grid(parts, rows, width)
        boxes = []
        for row, shares, widths, height in zip(rows, grid.shares, grid.widths, grid.heights, strict=True):
            left = x
            for number, share, taken in zip(row, shares, widths, strict=True):
                box = Box(part=parts[number], x=left, y=y, width=taken, height=height, lines=())
                boxes.append(self._filled(box, share))
                left += taken + self.metrics.gap_x
            y += height + self.metrics.gap_y
        return tuple(boxes)

    def _filled(self, box: Box, share: int) -> Box:
        """The box with what is in it, arranged as it was when it was measured: in its share, not in what it took."""
        part = box.part
        side, top, _ = self._frame(part, share)
        inside = share - 2 * side
        box = replace(box, lines=self._lines(part, share))
        if part.what == "group":
            return replace(box, per_row=self.per_row(part, inside))
        if not part.parts:
            return box
        return replace(box, boxes=self._place(part.parts, inside, box.x + side, box.y + top))


def row_notes(part: Part) -> tuple[str, ...]:
    """What stands beside each row of a group: the use of those cpus where it is not that of the first row."""
    return tuple("" if state == part.states[0] else f" {state}" for state in part.states)


def _longest_note(part: Part) -> str:
    return max(row_notes(part), key=len, default="")
