"""The pieces that the page is made of: cards, tables, tiles with figures, and text that can stand in HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from ipexlaunch.documents.visible_text import format_number


def escaped(text: object) -> str:
    """A text as it can stand in HTML.

    Args:
        text: any.
    """
    printable = "".join(character if character.isprintable() else "?" for character in str(text))
    return html.escape(printable.encode("utf-8", "replace").decode())


def card(heading: str, body: str) -> str:
    """A part of the page with its heading; "" without a body.

    Args:
        heading: text.
        body: HTML.
    """
    return f'<section class="card">\n<h3>{escaped(heading)}</h3>\n{body}\n</section>' if body else ""


def chart(heading: str, svg: str, key: str = "") -> str:
    """A card with a picture; "" where there is none.

    Args:
        heading: text.
        svg: the picture, wide and narrow.
        key: HTML that stands before it.
    """
    if not svg:
        return ""
    labelled = svg.replace("<svg ", f'<svg role="img" aria-label="{escaped(heading)}" ')
    return card(heading, f"{key}{labelled}")


def table(heads: Sequence[str], rows: Iterable[tuple[Sequence[str], str]], words: int = 1) -> str:
    """A table.

    Args:
        heads: of the columns.
        rows: cells, and the kind of the row: "failed" or "".
        words: how many columns, from the first on, hold words.
    """
    kinds = [' class="words"' if place < words else "" for place in range(len(heads))]
    lines = ["<tr>" + "".join(f"<th{k}>{escaped(head)}</th>" for k, head in zip(kinds, heads, strict=True)) + "</tr>"]
    for cells, kind in rows:
        inside = "".join(f"<td{k}>{escaped(cell)}</td>" for k, cell in zip(kinds, cells, strict=True))
        lines.append(f"<tr{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{inside}</tr>")
    return '<div class="wide" tabindex="0"><table>\n' + "\n".join(lines) + "\n</table></div>"


def tiles(figures: Iterable[tuple[str | None, str]]) -> str:
    """Figures with what they are; those that are not known are left out.

    Args:
        figures: each with its words.
    """
    known = [(value, what) for value, what in figures if value is not None]
    each = "".join(f"<div><b>{escaped(value)}</b><span>{escaped(what)}</span></div>" for value, what in known)
    return f'<div class="figures">{each}</div>'


def judged(valid: bool, reasons: Iterable[str], warnings: Iterable[str]) -> str:
    """VALID or INVALID, with every reason and every note.

    Args:
        valid: which of both.
        reasons: why it is INVALID.
        warnings: what the reader should know.
    """
    verdict = "VALID" if valid else "INVALID"
    listed = "".join(f'<li class="invalid">{escaped(reason)}</li>' for reason in reasons)
    listed += "".join(f'<li class="note">{escaped(warning)}</li>' for warning in warnings)
    return f'<p class="verdict {verdict.lower()}">{verdict}</p>' + (f"<ul>{listed}</ul>" if listed else "")


def figure(value: float | None) -> str | None:
    """As in the tables, with thousands apart; None where it is not known.

    Args:
        value: any.
    """
    if value is None:
        return None
    return f"{value:,.0f}" if value >= 1000 else format_number(value)
