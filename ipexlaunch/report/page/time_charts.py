"""The charts of a run over time: throughput, and what the instances were busy with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipexlaunch.launch.run_record import Run, WorkerRecord
from ipexlaunch.measure.rates import STARTS, Window, start_kind, window_of, work_began
from ipexlaunch.report.page.chart_axes import (
    BAD,
    GRID,
    INK,
    INSTANCES,
    QUIET,
    SHADE,
    chart,
    label_instances,
    rows_height,
    show_legend,
    shown_name,
    whole_steps,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BUCKETS = 150
"""Points along a time axis: a run of any length has as many, each the work of its stretch of time."""

MOST_LINES = 8
"""Instances that are drawn as lines, for as many colours; more become a map."""


def throughput_chart(run: Run) -> str:
    """Items per second of each instance over time, the time in which all worked shaded; "" where nothing was counted.

    Args:
        run: what happened.
    """
    window = window_of(run)
    if window is None or window.last <= window.start:
        return ""
    seconds = window.last - window.start
    width = seconds / BUCKETS
    edges = [bucket * width for bucket in range(BUCKETS + 1)]
    rows = {
        record.instance.index: [
            items / width for items in items_by_time(record, window.start, width, BUCKETS, work_began(run, record))
        ]
        for record in run.records
    }
    total = [sum(column) for column in zip(*rows.values(), strict=True)]

    def lines(axes: Axes) -> None:
        for index, rates in rows.items():
            color = INSTANCES[index % len(INSTANCES)]
            worked = max((bucket + 1 for bucket, rate in enumerate(rates) if rate), default=1)
            axes.stairs(rates[:worked], edges[: worked + 1], baseline=None, color=color, label=f"instance {index}")
        if len(rows) > 1:
            axes.stairs(total, edges, baseline=None, color=INK, label="all", linewidth=1.8)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("items/s")
        show_legend(axes)
        common(axes)

    def heat(axes: Axes) -> None:
        highest = max(map(max, rows.values())) or 1.0
        picture = axes.imshow(
            list(rows.values()), aspect="auto", interpolation="nearest", cmap="cividis", vmin=0, vmax=highest,
            extent=(0.0, seconds, len(rows) - 0.5, -0.5),
        )  # fmt: skip
        axes.grid(False)
        axes.set_ylabel("instance")
        whole_steps(axes.yaxis)
        bar = axes.figure.colorbar(picture, ax=axes, label="items/s", pad=0.01)
        outline: Any = bar.outline  # releases before 3.11 say that it is a mapping of spines
        outline.set_visible(False)
        for moment in _together(window):
            axes.axvline(moment, color=INK, linestyle="--", linewidth=1.2)
        axes.set_xlabel(
            f"seconds from {STARTS[start_kind(run)]}, {width:.3g} s a step; all worked between the dashed lines"
        )

    def common(axes: Axes) -> None:
        axes.axvspan(*_together(window), color=SHADE, linewidth=0, zorder=0)
        axes.set_xlim(0, seconds)
        axes.set_xlabel(f"seconds from {STARTS[start_kind(run)]}, {width:.3g} s a step; shaded: all worked")

    if len(rows) <= MOST_LINES:
        return chart(lines, 3.4)
    return chart(heat, min(6.5, 2.2 + 0.06 * len(rows)))


def _together(window: Window) -> tuple[float, float]:
    """From when to when all worked, in seconds from the start."""
    begin = window.begin - window.start
    return begin, begin + window.seconds


def total_chart(run: Run) -> str:
    """Items per second of all instances together over time; "" where few instances make the other chart enough.

    Args:
        run: what happened.
    """
    window = window_of(run)
    if window is None or window.last <= window.start or len(run.records) <= MOST_LINES:
        return ""
    seconds = window.last - window.start
    width = seconds / BUCKETS
    rows = [items_by_time(record, window.start, width, BUCKETS, work_began(run, record)) for record in run.records]
    total = [sum(column) / width for column in zip(*rows, strict=True)]

    def draw(axes: Axes) -> None:
        axes.axvspan(*_together(window), color=SHADE, linewidth=0, zorder=0)
        axes.stairs(total, [bucket * width for bucket in range(BUCKETS + 1)], baseline=None, color=INSTANCES[4])
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, seconds)
        axes.set_ylabel("items/s, all instances")
        axes.set_xlabel(f"seconds from {STARTS[start_kind(run)]}, {width:.3g} s a step; shaded: all worked")

    return chart(draw, 2.6)


LONG_WORK = 3
"""Work that took so many times as long as all before it is cut off: it has a chart of its own."""

PHASE_COLORS = (INSTANCES[1], INSTANCES[3], INSTANCES[5], INSTANCES[6], INSTANCES[7])


def phases_chart(run: Run) -> str:
    """What each instance was busy with from its start to its end.

    Args:
        run: what happened.
    """
    if not run.records:
        return ""
    names = list(dict.fromkeys(span.name for r in run.records for span in (r.told.phases if r.told else ())))
    colors = {name: PHASE_COLORS[place % len(PHASE_COLORS)] for place, name in enumerate(names)}
    colors |= {"starting": GRID, "waiting for the others": QUIET, "working": INSTANCES[2], "ending": INSTANCES[0]}
    used: set[str] = set()

    def draw(axes: Axes) -> None:
        for row, record in enumerate(run.records):
            for name, begin, end in _spans(run, record):
                label = None if name in used else shown_name(name)
                used.add(name)
                axes.barh(row, end - begin, left=begin - run.started, color=colors[name], height=0.75, label=label)
        for failure in run.failures:
            axes.axvline(failure.time - run.started, color=BAD, linewidth=1.4)
        if run.go is not None:
            axes.axvline(run.go - run.started, color=INK, linestyle="--", linewidth=1.2)
        label_instances(axes, [record.instance.index for record in run.records])
        label = "seconds from the start of the run" + (
            f"; dashed: {STARTS[start_kind(run)]}" if run.go is not None else ""
        )
        if run.go is not None and run.ended - run.go > LONG_WORK * (run.go - run.started):
            axes.set_xlim(0, (1 + 1 / LONG_WORK) * (run.go - run.started))
            label += f"; the run went on to {run.ended - run.started:.4g} s"
        axes.set_xlabel(label)
        show_legend(axes)

    return chart(draw, rows_height(len(run.records)))


def _spans(run: Run, record: WorkerRecord) -> list[tuple[str, float, float]]:
    """(what, from, to) of one worker."""
    end = run.ended if record.exited is None else record.exited
    ready = end if record.ready is None else record.ready
    begun = max(ready, work_began(run, record)) if record.ready is not None and run.go is not None else ready
    spans = [("starting", record.started, ready)]
    for span in record.told.phases if record.told else ():
        spans.append((span.name, span.begin, ready if span.end is None else span.end))
    if record.ready is not None:
        finished = end if record.finished is None else record.finished
        spans += [("waiting for the others", ready, begun), ("working", begun, finished)]
        spans.append(("ending", finished, end))
    return [(name, begin, until) for name, begin, until in spans if until > begin]


def items_by_time(record: WorkerRecord, start: float, width_s: float, buckets: int, begun: float) -> list[float]:
    """Items in each of so many stretches of time; a count is spread evenly over the time since the one before.

    What was counted before the start falls into the first stretch, so that nothing is lost.

    Args:
        record: the worker.
        start: of the first stretch.
        width_s: of each stretch, above 0.
        buckets: how many.
        begun: when the worker began.
    """
    done = [0.0] * buckets
    before = begun
    for at, items in sorted(zip(record.samples.times, record.samples.items, strict=True)):
        if at <= before:
            done[_bucket(before, start, width_s, buckets)] += items
            continue
        first, last = _bucket(before, start, width_s, buckets), _bucket(at, start, width_s, buckets)
        for bucket in range(first, last + 1):
            begin = before if bucket == first else start + bucket * width_s
            end = at if bucket == last else start + (bucket + 1) * width_s
            done[bucket] += items * (end - begin) / (at - before)
        before = at
    return done


def _bucket(time: float, start: float, width_s: float, buckets: int) -> int:
    return min(max(0, int((time - start) / width_s)), buckets - 1)
