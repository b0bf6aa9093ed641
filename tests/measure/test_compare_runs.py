"""Runs side by side: which repeat each other, and what is said of their rates."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ipexlaunch.doctor.job_engine import JobHost
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.measure.compare_runs import ComparedRun, Intervals, compare
from ipexlaunch.measure.report import Report, aggregate
from ipexlaunch.measure.scaling import Baseline
from ipexlaunch.report.tables.comparison_table import comparison_table
from tests.report.page.made_runs import made_run

MACHINE = synthetic_machine("1s 2n 8c 1t")


def compared(name: str, instances: int, rate: float, **changes: object) -> ComparedRun:
    run, _ = made_run(MACHINE, instances, seconds=1.0, per_second=10)
    report: Report = aggregate(run, {"program": ["embed.py", "x"], "topology": "a"})
    report = replace(report, throughput=replace(report.throughput, makespan=rate), **changes)  # type: ignore[arg-type]
    return ComparedRun(name=name, report=report, environment={})


def spread(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


SPREADS = Intervals(of_mean=spread, of_difference=lambda a, b: (min(a) - max(b), max(a) - min(b)))


def test_repeats_are_one_configuration_and_ratios_are_to_the_first() -> None:
    runs = [compared("a", 2, 100), compared("c", 4, 180), compared("b", 2, 121), compared("d", 4, 242)]
    first, second = compare(runs, SPREADS)
    assert (first.label, first.names, first.rates) == ("2 x 8 cpus", ("a", "b"), (100, 121))
    assert (second.label, second.names, second.instances) == ("4 x 4 cpus", ("c", "d"), 4)
    assert first.median == 110.5
    assert first.ratio is None
    assert first.interval == pytest.approx((100, 121))
    assert second.ratio == pytest.approx(math.sqrt(180 * 242) / 110)
    assert second.ratio_interval == pytest.approx((180 / 121, 242 / 100))
    assert "2 x 8 cpus" in comparison_table([first, second])


def test_one_run_has_no_interval_and_without_a_library_none_has() -> None:
    (first, second) = compare([compared("a", 2, 100), compared("b", 4, 200)], SPREADS)
    assert (first.interval, second.ratio_interval) == (None, None)
    assert second.ratio == pytest.approx(2)
    (both,) = compare([compared("a", 2, 100), compared("b", 2, 121)], None)
    assert (both.interval, both.median) == (None, 110.5)


def test_what_is_invalid_is_left_out_and_told() -> None:
    runs = [compared("a", 2, 100), compared("b", 2, 900, valid=False), compared("c", 2, 102)]
    (only,) = compare(runs, SPREADS)
    assert (only.rates, only.left_out, only.median) == ((100, 102), 1, 101)
    assert "2 (+1 INVALID)" in comparison_table([only])
    (none,) = compare([compared("b", 2, 900, valid=False)], SPREADS)
    assert (none.rates, none.median, none.ratio) == ((), None, None)
    assert "900" not in comparison_table([none])


def test_other_programs_variables_and_machines_are_other_configurations() -> None:
    run = compared("a", 2, 100)
    other = replace(run.report, provenance={**run.report.provenance, "program": ["other.py"]})
    elsewhere = replace(run.report, provenance={**run.report.provenance, "topology": "b"})
    runs = [run, replace(run, report=other), replace(run, environment={"A": "1"}), replace(run, report=elsewhere)]
    labels = [configuration.label for configuration in compare(runs, None)]
    assert labels == [
        "2 x 8 cpus, embed.py x (1)",
        "2 x 8 cpus, other.py",
        "2 x 8 cpus, A=1 embed.py x",
        "2 x 8 cpus, embed.py x (2)",
    ]


def test_efficiency_and_the_rate_alone_are_medians_of_those_measured() -> None:
    solo = Baseline(index=0, rate=60, items=6, seconds=0.1)
    runs = [
        compared("a", 2, 100, efficiency=0.8, baseline=solo),
        compared("b", 2, 100),
        compared("c", 2, 100, efficiency=0.9),
    ]
    (only,) = compare(runs, None)
    assert only.efficiency == pytest.approx(0.85)
    assert (only.solo, only.cpus_each) == (60, 8)


def test_scipys_intervals_are_those_of_the_textbook() -> None:
    pytest.importorskip("scipy")
    from ipexlaunch.report.page.page import scipy_intervals

    intervals = scipy_intervals()
    assert intervals is not None
    values = [1.0, 2.0, 3.0, 4.0]
    half = 3.182446 * statistics.stdev(values) / 2  # t(0.975, 3 degrees of freedom)
    assert intervals.of_mean(values) == pytest.approx((2.5 - half, 2.5 + half), rel=1e-6)
    low, high = intervals.of_difference([5.0, 6.0, 7.0, 8.0], values)
    width = 2.446912 * math.sqrt(2 * statistics.variance(values) / 4)  # equal variances: t(0.975, 6)
    assert (low, high) == pytest.approx((4 - width, 4 + width), rel=1e-6)
    assert intervals.of_mean([2.0, 2.0]) == (2.0, 2.0)
    assert intervals.of_difference([3.0, 3.0], [2.0, 2.0]) == (1.0, 1.0)


def on(host: str, rank: int | None, job: str = "5.0", ranks: int | None = 3) -> JobHost:
    return JobHost(name=host, engine="slurm", job=job, ranked_by="slurm", rank=rank, ranks=ranks)


def test_hosts_of_one_job_are_no_repeats_and_have_no_total() -> None:
    runs = [compared(f"rd-{rank}", 2, 39 + rank, host=on(f"h{rank}", rank)) for rank in range(3)]
    found = compare(runs, SPREADS)
    assert [each.label for each in found] == [f"2 x 8 cpus, h{rank} (rank {rank})" for rank in range(3)]
    assert [each.rates for each in found] == [(39,), (40,), (41,)]
    said = comparison_table(found).splitlines()[-1]
    assert said == "Slurm job 5.0: 3 hosts of one job, no repeats, and no total, as they did not start together"


def test_the_same_host_of_two_jobs_repeats_itself() -> None:
    runs = [compared(f"{job}-{rank}", 2, 40, host=on(f"h{rank}", rank, job)) for job in "56" for rank in range(2)]
    first, second = compare(runs, SPREADS)
    assert (first.names, second.names) == (("5-0", "6-0"), ("5-1", "6-1"))
    assert first.jobs == second.jobs == ("Slurm job 5", "Slurm job 6")


def test_jobs_of_one_host_and_hosts_without_a_job_repeat_each_other() -> None:
    one_rank = [compared(name, 2, 40, host=on("h1", 0, name, 1)) for name in "ab"]
    no_engine = [compared(name, 2, 40, host=JobHost(name=name)) for name in "cd"]
    unknown = [compared("e", 2, 40)]
    (only,) = compare([*one_rank, *no_engine, *unknown], SPREADS)
    assert len(only.rates) == 5
    assert only.jobs == ()


def test_tasks_of_ray_are_told_apart_by_their_hosts() -> None:
    runs = [compared(host, 2, 40, host=JobHost(name=host, engine="ray", job="01000000")) for host in ("h1", "h2")]
    assert [each.label for each in compare(runs, SPREADS)] == ["2 x 8 cpus, h1", "2 x 8 cpus, h2"]


def test_configurations_of_one_shape_are_told_apart_by_what_differs() -> None:
    plain, other = compared("a", 2, 100), compared("b", 2, 90)
    unbound = tuple(replace(instance, memory="none") for instance in other.report.instances)
    other = replace(other, report=replace(other.report, instances=unbound), options={"memory_policy": "none"})
    first, second = compare([replace(plain, options={"memory_policy": "bind"}), other], None)
    assert first.label == "2 x 8 cpus, memory bind, --memory-policy bind"
    assert second.label == "2 x 8 cpus, memory none, --memory-policy none"
    assert not first.differences


def test_repeats_that_were_run_with_other_options_are_said_to_differ() -> None:
    runs = [replace(compared(name, 2, 100), options={"confine": how}) for name, how in (("a", "no"), ("b", "auto"))]
    (only,) = compare(runs, None)
    assert only.differences == ("--confine no or auto",)
    assert "runs of 2 x 8 cpus differ in --confine no or auto" in comparison_table([only])
    (same,) = compare([runs[0], replace(runs[0], name="c")], None)
    assert not same.differences
