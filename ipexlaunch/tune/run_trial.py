"""Runs one setting on the ordinary supervised path and says what it gave: the measuring end of `tune`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ipexlaunch.errors import BindError
from ipexlaunch.errors.beside_limit import beside_limit
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.launch.placement.verify import LOCAL_SHARE_REQUIRED
from ipexlaunch.launch.run_record import Run
from ipexlaunch.launch.throughput_regex import LineRule
from ipexlaunch.measure.report import Report, aggregate
from ipexlaunch.measure.scaling import Baseline, baseline_of
from ipexlaunch.tune.dtypes.quiet_run import last_words, run_quietly
from ipexlaunch.tune.next_step import Measure
from ipexlaunch.tune.space import Setting
from ipexlaunch.tune.trial import Trial

Runner = Callable[[Launch, Mapping[str, str], Callable[[str], None], str, Limits, "LineRule | None"], Run]


@dataclass(frozen=True, kw_only=True)
class TrialContext:
    """How settings are run here."""

    launch_of: Callable[[Setting, float], Launch]
    """The workers of a setting that measure for so many seconds."""
    inherited: Mapping[str, str] = field(default_factory=dict)
    """The launcher's own variables."""
    limits: Limits = field(default_factory=Limits)
    """Time limits of every run."""
    cut: bool = True
    """Ask the workers to end when they have measured long enough; False where they end by themselves."""
    line_rule: LineRule | None = None
    """Counts work in what programs print."""
    local_share_required: float = LOCAL_SHARE_REQUIRED
    """Share of local anonymous memory below which a run is INVALID, 0 to 1."""
    latency_limit_ms: float | None = None
    """p99 of a call above which a setting does not count."""
    run: Runner = run_quietly
    clock: Callable[[], float] = time.monotonic


def run_trial(context: TrialContext, step: Measure) -> Trial:
    """Run a setting once; whatever goes wrong with the workers is a row that says so.

    Args:
        context: how.
        step: what, and for how long.

    Raises:
        EndedBySignal: interrupted; the workers are gone.
        IpexLaunchError: the launch cannot be made at all.
    """
    begun = context.clock()
    tried = _try(context, context.launch_of(step.setting, step.seconds), step.seconds)
    row = Trial(setting=step.setting, seconds=step.seconds, round=step.round)
    if isinstance(tried, str):
        return replace(row, trouble=tried, cost_s=context.clock() - begun)
    _, report, trouble = tried
    return replace(
        row,
        rate=report.throughput.makespan or report.throughput.naive_sum,
        trouble=trouble or _too_slow(report, context.latency_limit_ms),
        latency_ms=report.latency_ms.get("p99"),
        peak_bytes=max((each.peak_memory_bytes for each in report.instances), default=0),
        cost_s=context.clock() - begun,
    )


def run_trial_alone(context: TrialContext, launch: Launch, seconds: float) -> Baseline | str:
    """Run the first worker of a launch alone; the reason where that gave no rate.

    Args:
        context: how.
        launch: of the setting.
        seconds: of measuring.

    Raises:
        EndedBySignal: interrupted; the worker is gone.
    """
    tried = _try(context, replace(launch, workers=launch.workers[:1]), seconds)
    if isinstance(tried, str):
        return tried
    run, _, trouble = tried
    return trouble or baseline_of(run) or "it counted nothing"


def _try(context: TrialContext, launch: Launch, seconds: float) -> tuple[Run, Report, str] | str:
    """What happened, its report, and why it does not count; the reason alone where nothing could be started."""
    limits = replace(context.limits, measured_s=seconds) if context.cut else context.limits
    with tempfile.TemporaryDirectory(prefix="ipexlaunch-") as directory:
        try:
            # What goes wrong stands in the trial's row, nothing is told while it lasts.
            run = context.run(launch, context.inherited, lambda _: None, directory, limits, context.line_rule)
        except BindError as error:
            return str(error)
        report = aggregate(run, None, context.local_share_required)
        return run, report, _trouble(report, run, directory)


def _trouble(report: Report, run: Run, directory: str) -> str:
    """Why the run does not count, with the last words of the worker that failed first."""
    if report.failures:
        first = run.failures[0]
        words = last_words(directory, first.index)
        return f"instance {first.index} {first.message}" + (f": {words}" if words else "")
    if report.reasons:
        return f"INVALID: {report.reasons[0]}"
    if report.throughput.makespan is None and report.throughput.naive_sum is None:
        return "no worker counted anything"
    return ""


def _too_slow(report: Report, limit_ms: float | None) -> str:
    if limit_ms is None:
        return ""
    if "p99" not in report.latency_ms:
        return "it reports no latency, which --latency-limit-ms needs"
    found = report.latency_ms["p99"]
    return (
        f"p99 of a call {beside_limit(found, limit_ms, 1)} ms, above the limit of {limit_ms:g} ms"
        if found > limit_ms
        else ""
    )
