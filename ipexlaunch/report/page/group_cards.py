"""What the page says of hosts that began together: the one total, and a row for each host."""

from __future__ import annotations

from ipexlaunch.measure.across_hosts import HostAlone
from ipexlaunch.report.kept_runs.open_groups import OpenedGroup
from ipexlaunch.report.page.cards import card, figure, judged, table, tiles
from ipexlaunch.report.tables.group_table import GROUP_COLUMNS, host_row, width_of


def group_cards(opened: OpenedGroup, alone: HostAlone | None) -> list[str]:
    """The cards of a run over several hosts, before those of each of them.

    Args:
        opened: the run.
        alone: what one host does without the others; None where that is not known.
    """
    group, total = opened.group, opened.group.total
    figures = [(str(group.size), "hosts")]
    if total is not None:
        figures += [
            (figure(total.rate) or "-", f"{total.unit} of all hosts"),
            (width_of(total), "more at most: how well that is known"),
            (figure(total.naive_sum) or "-", "sum of the hosts' own rates, for comparison only"),
            (figure(total.seconds) or "-", "seconds of makespan"),
        ]
        if total.tokens_per_second is not None:
            figures.append((figure(total.tokens_per_second) or "-", "tokens/s"))
    if alone is not None:
        figures.append((f"{alone.efficiency:.1%}", f"of {group.size} x one host alone"))
    rows = ((host_row(part), "" if part.valid else "failed") for part in group.hosts)
    known = "No clock is common to them, so the total is given with how well it is known."
    about = f'<p class="quiet">They began together. {known}</p>'
    return [
        card("Result of all hosts", judged(group.valid, group.reasons, group.warnings) + tiles(figures)),
        card("Hosts", table(GROUP_COLUMNS, rows, words=2) + about),
    ]
