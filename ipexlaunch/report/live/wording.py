"""Cells of the live view: figures that keep their width, and workers' own words made harmless."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from ipexlaunch.launch.run_record import WorkerSnapshot
from ipexlaunch.report.live.status import Usage

ESCAPES = re.compile(
    r"""\x1b\[[0-?]*[ -/]*[@-~]          # CSI: colours, cursor
      | \x1b[\]PX^_].*?(?:\x07|\x1b\\|$) # OSC and other strings: titles, links
      | \x1b[ -/]*[0-~]                  # two and three character sequences
      | \x9b[0-?]*[ -/]*[@-~]            # CSI in one character
    """,
    re.VERBOSE,
)
"""Source: ECMA-48, 5th edition, sections 5.3 to 5.6."""

PHASE_WORDS = {"starting": "started"}
"""A program that never uses the protocol stays in the phase "starting" to its end."""

ODD_WIDTH = {"\ufe0e", "\ufe0f"}
"""Variation selectors: terminals disagree on how wide a character becomes by them."""


def plain_line(text: str) -> str:
    """A worker's line as one line that moves no cursor: what a progress bar shows last, without escape sequences.

    Args:
        text: as the worker printed it.
    """
    parts = [part for part in text.split("\r") if part.strip()]
    text = ESCAPES.sub("", parts[-1] if parts else "")
    return "".join(map(_harmless, text)).strip()


def _harmless(character: str) -> str:
    category = unicodedata.category(character)
    if character in ODD_WIDTH or category == "Cf":  # Cf: invisible, and some turn the direction of what follows
        return ""
    if character == "\t" or category in ("Zl", "Zp", "Zs"):
        return " "
    if category == "Cs":
        return "\N{REPLACEMENT CHARACTER}"
    return "" if category == "Cc" else character


def short_number(value: float | None) -> str:
    """At least three digits in at most six columns, "123.4" or "12.3M"; "-" for what is not known."""
    if value is None:
        return "-"
    if value < 0.0005:
        return "0"
    for limit, places in ((0.9995, 3), (9.995, 2), (999.95, 1), (999_999.5, 0)):
        if value < limit:
            return f"{value:.{places}f}"
    for size, letter in ((1e6, "M"), (1e9, "G")):
        if value < 999.95 * size:
            return f"{value / size:.1f}{letter}"
    return f"{value / 1e12:.1f}T"


def size(value: int) -> str:
    """Bytes in at most four columns: "999M", "1.2G", "123G" (binary units)."""
    amount = value / (1 << 20)
    for letter in "MGTP":
        if amount < 9.95 and letter != "M":
            return f"{amount:.1f}{letter}"
        if amount < 999.5 or letter == "P":
            return f"{amount:.0f}{letter}"
        amount /= 1024
    raise AssertionError("not reached: the last letter returns")


def duration(seconds: float) -> str:
    """ "0:42", "12:34", "1:02:03"."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def phase_text(worker: WorkerSnapshot) -> str:
    """ "running", "exited", where it failed "exit 139", where it ended because it was asked to "stopped"."""
    if worker.phase == "exited" and worker.exit_code:
        return f"exit {worker.exit_code}" if worker.failed else "stopped"
    return PHASE_WORDS.get(worker.phase, worker.phase)


def line_text(worker: WorkerSnapshot) -> str:
    """Its last line; before that what it is busy with while it starts: "compiling, 41 s: Autotune Choices Stats"."""
    line = plain_line(worker.last_line)
    if not worker.busy_with:
        return line
    doing = f"{plain_line(worker.busy_with)}, {worker.busy_s or 0.0:.0f} s"
    return f"{doing}: {line}" if line else doing


def busy_text(worker: WorkerSnapshot, usage: Usage) -> str:
    """ "13.9/14" cpus kept busy of those planned."""
    if usage.busy_cpus is None:
        return "-"
    busy = f"{usage.busy_cpus:.1f}" if usage.busy_cpus < 99.95 else f"{usage.busy_cpus:.0f}"
    return f"{busy}/{len(worker.cpus)}" if worker.cpus else busy


def busy_share(worker: WorkerSnapshot, usage: Usage) -> str:
    """ "99%" of the planned cpus."""
    if usage.busy_cpus is None or not worker.cpus:
        return "-"
    return f"{usage.busy_cpus / len(worker.cpus):.0%}"


def memory_text(memory: Mapping[int, int] | None, most: int) -> str:
    """ "0:1.2G 1:31M": anonymous memory by node, the largest shares only, "+" where more is left out.

    Args:
        memory: node to bytes.
        most: how many nodes are shown.
    """
    total = sum((memory or {}).values())
    if memory is None or not total:
        return "-"
    notable = [node for node, amount in memory.items() if amount >= total / 100]
    shown = sorted(sorted(notable, key=lambda node: -memory[node])[:most])
    more = "+" if len(notable) > len(shown) else ""
    return " ".join(f"{node}:{size(memory[node])}" for node in shown) + more


def local_share(worker: WorkerSnapshot, usage: Usage) -> float | None:
    """The share of local memory as it is now, else as it was at the supervisor's last look."""
    now = usage.local_share(worker.nodes)
    return worker.local_pages if now is None else now


def share_text(share: float | None) -> str:
    """ "99.8%", "100%"; never rounded up to 100."""
    if share is None:
        return "-"
    return "100%" if share >= 1 else f"{min(share, 0.999):.1%}"


def style(worker: WorkerSnapshot) -> str:
    """The colour of a worker's phase: red for a failure of its own, dim for what is over."""
    if worker.phase == "exited":
        return "red" if worker.failed else "dim"
    return "" if worker.phase in ("running", "starting") else "yellow" if worker.phase == "waiting" else "cyan"
