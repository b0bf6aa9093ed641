"""The charts of a run without time, and of several runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ipexlaunch.launch.run_record import Run
from ipexlaunch.measure.compare_runs import Configuration
from ipexlaunch.measure.format_number import format_number
from ipexlaunch.measure.percentiles import percentile
from ipexlaunch.measure.report import Report
from ipexlaunch.report.page.chart_axes import (
    chart,
    label_instances,
    plain_numbers,
    rows_height,
    show_legend,
    whole_steps,
)
from ipexlaunch.report.page.theme import INK, INSTANCES, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 60
MIB = 1 << 20


def latency_chart(run: Run) -> str:
    """How often each latency was seen, over all instances, with the percentiles; "" where none was reported.

    Args:
        run: what happened.
    """
    found = sorted(
        1e3 * latency for record in run.records for latency in record.samples.latencies_s if not math.isnan(latency)
    )
    found = [latency for latency in found if latency > 0]
    if not found:
        return ""
    low, high = found[0], found[-1] if found[-1] > found[0] else found[0] * 1.01
    factor = (high / low) ** (1 / BINS)
    edges = [low * factor**step for step in range(BINS + 1)]
    counts = [0] * BINS
    place = 0
    for latency in found:
        while place < BINS - 1 and latency >= edges[place + 1]:
            place += 1
        counts[place] += 1

    def draw(axes: Axes) -> None:
        axes.stairs(counts, edges, fill=True, color=INSTANCES[0])
        for percent, style in ((50, "-"), (90, "--"), (99, ":")):
            value = percentile(found, percent)
            axes.axvline(
                value, color=INK, linestyle=style, linewidth=1.2, label=f"p{percent} {format_number(value)} ms"
            )
        if high / low > 3:
            axes.set_xscale("log")
            plain_numbers(axes)
        axes.set_xlabel("milliseconds")
        axes.set_ylabel("counts")
        show_legend(axes)

    return chart(draw, 3.0)


def memory_chart(report: Report) -> str:
    """Anonymous memory of each instance by node at the last look; "" where nobody could look.

    Args:
        report: of the run.
    """
    shown = [
        (instance.index, instance.placement.anonymous_bytes)
        for instance in report.instances
        if instance.placement is not None and instance.placement.anonymous_bytes
    ]
    if not shown:
        return ""
    nodes = sorted({node for _, sizes in shown for node in sizes})

    def draw(axes: Axes) -> None:
        left = [0.0] * len(shown)
        for place, node in enumerate(nodes):
            sizes = [by_node.get(node, 0) / MIB for _, by_node in shown]
            color = INSTANCES[place % len(INSTANCES)]
            axes.barh(range(len(shown)), sizes, left=left, color=color, label=f"node {node}", height=0.75)
            left = [before + size for before, size in zip(left, sizes, strict=True)]
        label_instances(axes, [index for index, _ in shown])
        axes.set_xlabel("MiB of anonymous memory by node, at the last look")
        show_legend(axes)

    return chart(draw, rows_height(len(shown)))


def scaling_chart(configurations: Sequence[Configuration]) -> str:
    """Rate over the number of instances, with what is ideal; "" where all have the same number.

    Args:
        configurations: as `compare` gives them.
    """
    shown = sorted((c for c in configurations if c.median is not None), key=lambda c: c.instances)
    if len({c.instances for c in shown}) < 2:
        return ""
    first = shown[0]
    ideal, told = ideal_line(shown)

    def draw(axes: Axes) -> None:
        if ideal:
            axes.plot(*zip(*ideal, strict=True), color=QUIET, linestyle="--", label=f"ideal: {told}")
        for configuration in shown:
            axes.plot(
                [configuration.instances] * len(configuration.rates), configuration.rates, "o", color=INSTANCES[4],
                markersize=4, alpha=0.45,
            )  # fmt: skip
            if configuration.interval is not None:
                low, high = configuration.interval
                axes.plot([configuration.instances] * 2, [low, high], color=INSTANCES[4], linewidth=2.4)
        points = [(c.instances, c.median) for c in shown if c.median is not None]
        axes.plot(*zip(*points, strict=True), color=INSTANCES[4], marker="s", markersize=5, label="median by makespan")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        whole_steps(axes.xaxis)
        axes.set_xlabel("instances")
        axes.set_ylabel(first.unit)
        show_legend(axes)

    return chart(draw, 3.6)


def ideal_line(shown: Sequence[Configuration]) -> tuple[list[tuple[int, float]], str]:
    """Points (instances, rate) of perfect scaling, and what they are measured by; none where nothing tells.

    Args:
        shown: configurations with rates, the one with the fewest instances first.
    """
    first, most = shown[0], shown[-1].instances
    if len({c.cpus_each for c in shown}) == 1:
        solos = [c.solo for c in shown if c.solo is not None]
        one = solos[0] if solos else (first.median or 0.0) / first.instances
        return [(0, 0.0), (most, most * one)], "one alone" if solos else f"as the run with {first.instances}"
    # Instances of other sizes have other rates alone.
    if all(c.solo is not None for c in shown):
        return [(c.instances, c.instances * (c.solo or 0.0)) for c in shown], "as many, each as fast as one alone"
    return [], ""
