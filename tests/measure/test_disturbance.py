"""What others take from a run: read from the kernel's texts, weighed, and told with its numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ipexlaunch.launch.host_counters import HostReading, Throttling, Waits
from ipexlaunch.launch.read_host_counters import (
    HostCounterReader,
    cpu_times,
    pressure_in,
    process_time,
    swapped_pages,
    thread_times,
    throttling_in,
)
from ipexlaunch.launch.run_record import Run, Samples, WorkerRecord
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.machine.topology import Limit, Topology
from ipexlaunch.measure.report import aggregate, read_report, write_report
from ipexlaunch.measure.validity import Disturbance, disturbance_of, judge
from ipexlaunch.plan import Instance

STAT = """\
cpu  10 0 10 100 0 0 0 0 0 0
cpu0 100 20 30 1000 500 4 6 50 0 0
cpu1 1 1 1 1000 0 0 0 0 0 0
cpu10 200 0 0 0 0 0 0 10 0 0
intr 7 0
"""


def test_times_of_cpus_are_those_of_their_lines() -> None:
    assert cpu_times(STAT, [0, 10], 100) == (3.6, 0.6)
    assert cpu_times(STAT, [0, 3], 100) is None
    assert cpu_times("", [0], 100) is None


def test_throttling_of_both_versions() -> None:
    v2 = "usage_usec 5\nnr_periods 50\nnr_throttled 41\nthrottled_usec 12300000\n"
    v1 = "nr_periods 50\nnr_throttled 41\nthrottled_time 12300000000\n"
    assert throttling_in(v2) == throttling_in(v1) == Throttling(periods=50, stopped_periods=41, stopped_s=12.3)
    assert throttling_in("usage_usec 5\n") is None


def test_swap_and_the_time_of_a_process() -> None:
    assert swapped_pages("pgpgin 3\npswpin 7\npswpout 9\n") == (7, 9)
    assert swapped_pages("pgpgin 3\n") is None
    line = "7 (a) b) S 1 7 7 0 -1 4194560 0 0 0 0 120 30 40 10 20 0 1 0 99"
    assert process_time(line, 100) == 2.0
    assert process_time(line, 100, children=False) == 1.5
    assert process_time("", 100) is None


def test_the_time_of_this_process_is_what_the_kernel_says() -> None:
    before = sum(os.times()[:4])
    told = process_time(Path("/proc/self/stat").read_text(), os.sysconf("SC_CLK_TCK"))
    assert told is not None
    assert before - 0.05 <= told <= sum(os.times()[:4]) + 0.05


BEFORE = HostReading(
    time=10.0, busy_s=100.0, stolen_s=1.0, throttling=Throttling(periods=0, stopped_periods=0, stopped_s=0.0),
    swapped_in_pages=5, swapped_out_pages=5, hot_events=0, used_s={1: 2.0, 99: 0.5},
)  # fmt: skip
AFTER = replace(
    BEFORE, time=20.0, busy_s=119.0, throttling=Throttling(periods=100, stopped_periods=0, stopped_s=0.0),
    used_s={99: 0.6},
)  # fmt: skip


def run_of(*readings: HostReading) -> Run:
    """A worker on cpus 0 and 1 that used 18.5 s of cpu time in the 10 s from the common start."""
    samples = Samples()
    samples.add(19.9, 100)
    record = WorkerRecord(
        instance=Instance(index=0, cpus=frozenset({0, 1}), nodes=frozenset(), threads=2), pid=1, started=0.0,
        ready=9.9, finished=19.9, exit_code=0, samples=samples, binding=None, placements=(), cpu_s=20.5,
    )  # fmt: skip
    return Run(
        records=(record,), started=0.0, go=10.0, ended=20.0, failures=(), signal=None, exit_code=0, host=readings
    )


def test_a_run_that_had_its_cpus_for_itself_is_not_disturbed() -> None:
    found = disturbance_of(run_of(replace(BEFORE, time=0.0, busy_s=0.0), BEFORE, AFTER))
    assert found is not None
    assert (found.seconds, found.cpu_seconds) == (10.0, 20.0)
    assert found.others_s == pytest.approx(0.4)  # 19 busy, 18.5 the worker's, 0.1 the launcher's
    assert judge(replace(found, others_s=0.39)) == judge(None)
    report = aggregate(run_of(BEFORE, AFTER))
    assert report.valid
    assert read_report(write_report(report), "r.json") == report


CASES = [
    ({"busy_s": 120.6}, "other programs ran on the workers' cores (2 of 20 cpu-seconds, 10%)", False),
    ({"busy_s": 128.6}, "other programs ran on the workers' cores (10 of 20 cpu-seconds, 50%)", True),
    ({"stolen_s": 1.5}, "the hypervisor gave the workers' time to others (0.5 of 20 cpu-seconds, 2%)", False),
    ({"stolen_s": 8.0}, "the hypervisor gave the workers' time to others (7 of 20 cpu-seconds, 35%)", True),
    (
        {"throttling": Throttling(periods=100, stopped_periods=41, stopped_s=6.0)},
        "a cpu quota stopped the workers in 41 of 100 periods (6 of 20 cpu-seconds, 30%)", True,
    ),
    (
        {"throttling": Throttling(periods=100, stopped_periods=9, stopped_s=1.0)},
        "a cpu quota stopped the workers in 9 of 100 periods (1 of 20 cpu-seconds, 5%)", False,
    ),
    ({"swapped_in_pages": 261, "swapped_out_pages": 5}, "the host swapped: 1 MiB in, 0 MiB out", False),
    ({"swapped_in_pages": 60_005}, "the host swapped: 234 MiB in, 0 MiB out", True),
    ({"hot_events": 3}, "the workers' cores were too hot and lowered their clock 3 times", False),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "told", "invalid"), CASES, ids=[told[:40] for _, told, _ in CASES])
def test_what_is_taken_is_told_with_its_numbers(changes: dict[str, object], told: str, invalid: bool) -> None:
    quiet = replace(AFTER, busy_s=118.6)
    report = aggregate(run_of(BEFORE, replace(quiet, **changes)))  # type: ignore[arg-type]
    assert report.valid is not invalid
    assert told in (report.reasons if invalid else report.warnings)
    assert len(report.reasons) == invalid
    assert aggregate(run_of(BEFORE, replace(quiet, **changes)), lost_time_allowed=1.0).valid  # type: ignore[arg-type]


def waiting(waited_s: float, ran_s: float = 18.5, others_s: float = 10.0, finished: bool = True) -> Disturbance | None:
    """The worker used 18.5 s in 10 s; of its threads' time so much was seen, and they waited so long."""
    before = replace(BEFORE, waits={1: Waits(ran_s=2.0, waited_s=1.0)})
    after = replace(
        AFTER, busy_s=118.6 + others_s, used_s={1: 20.5, 99: 0.6}, waits={1: Waits(2.0 + ran_s, 1.0 + waited_s)}
    )
    run = run_of(before, after)
    return disturbance_of(run if finished else replace(run, records=(replace(run.records[0], finished=None),)))


def test_others_take_what_the_workers_waited_for_and_not_what_they_ran_themselves() -> None:
    asleep = judge(waiting(0.05))
    assert asleep.reasons == ()
    assert asleep.warnings == (
        "other programs ran on the workers' cores (10 of 20 cpu-seconds, 50%), and took little from them: "
        "their threads waited 0.05 s for a cpu",
    )
    assert judge(waiting(8.0)).reasons == (
        "other programs ran on the workers' cores for 10 s, while the workers' threads waited 8 s for a cpu "
        "(8 of 20 cpu-seconds, 40%)",
    )
    # More threads than cpus, or several workers on one: they waited for each other, and nobody took anything.
    assert judge(waiting(30.0, others_s=0.0)) == judge(None)


@pytest.mark.parametrize(
    ("ran_s", "finished"), [(16.0, True), (16.0, False), (0.0, True), (-2.0, True)],
    ids=["threads ended between looks", "it never said that it finished", "no look", "a kernel that writes zeros"],
)  # fmt: skip
def test_where_too_little_of_the_threads_was_seen_todays_counters_decide(ran_s: float, finished: bool) -> None:
    found = waiting(0.0, ran_s=ran_s, finished=finished)
    assert found is not None
    assert found.waited_s is None
    assert judge(found).reasons == ("other programs ran on the workers' cores (10 of 20 cpu-seconds, 50%)",)


def test_a_worker_that_slept_and_used_next_to_nothing_was_seen_well_enough() -> None:
    run = run_of(
        replace(BEFORE, waits={1: Waits(2.0, 0.0)}),
        replace(AFTER, busy_s=115.0, used_s={1: 2.1, 99: 0.6}, waits={1: Waits(2.03, 0.01)}),
    )
    found = disturbance_of(replace(run, records=(replace(run.records[0], cpu_s=2.3),)))
    assert found is not None
    assert found.waited_s == pytest.approx(0.01)
    assert judge(found).reasons == ()


def test_one_look_at_its_end_tells_all_that_a_worker_waited_since_it_began() -> None:
    seen = replace(AFTER, busy_s=115.0, used_s={1: 0.1, 99: 0.6}, waits={1: Waits(0.1, 7.0)})
    run = run_of(replace(BEFORE, used_s={99: 0.5}), seen)
    found = disturbance_of(replace(run, records=(replace(run.records[0], cpu_s=0.1),)))
    assert found is not None
    assert found.waited_s == pytest.approx(7.0)


def test_the_schedulers_figures_are_read() -> None:
    assert thread_times("543975152 791341819 277\n") == (543975152, 791341819)
    assert thread_times("") is thread_times("x y z") is None
    assert pressure_in("some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n") == 1.5
    assert pressure_in("") is None


def test_a_falling_clock_is_told() -> None:
    readings = [replace(BEFORE, time=10.0 + i, frequency_mhz=3000.0 if i < 4 else 2500.0) for i in range(11)]
    verdict = judge(disturbance_of(run_of(*readings)))
    assert verdict.warnings == ("the clock fell from 3000 to 2500 MHz: a longer run would be slower",)


def test_what_the_kernel_does_not_tell_is_not_guessed() -> None:
    blank = [HostReading(time=10.0), HostReading(time=20.0)]
    found = disturbance_of(run_of(*blank))
    assert found == Disturbance(seconds=10.0, cpu_seconds=20.0)
    assert judge(found) == judge(None)
    assert disturbance_of(run_of(BEFORE)) is None


def test_a_moment_is_not_judged() -> None:
    short = disturbance_of(run_of(BEFORE, replace(AFTER, time=11.0, busy_s=900.0)))
    assert judge(short) == judge(None)


def tree(root: Path, **files: str) -> str:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def test_the_cores_of_the_plan_are_read_with_their_siblings(tmp_path: Path) -> None:
    machine: Topology = synthetic_machine("1s 1n 2c 2t")
    limits = (Limit(kind="quota", file="cg/cpu.max", quota=8.0), Limit(kind="quota", file="cg/job/cpu.max", quota=1.5))
    rows = "".join(f"cpu{cpu} {10**cpu} 0 0 0 0 0 0 0 0 0\n" for cpu in range(4))
    root = tree(
        tmp_path,
        proc__stat=rows,
        proc__vmstat="pswpin 1\npswpout 2\n",
        proc__7__stat="7 (x) S 1 7 7 0 -1 0 0 0 0 0 100 100 0 0 20 0\n",
        proc__7__task__7__schedstat="1500000000 250000000 9\n",
        proc__7__task__7__children="8 ",
        proc__8__task__8__schedstat="500000000 50000000 9\n",
        proc__8__task__9__schedstat="0 0 0\n",
        proc__pressure__cpu="some avg10=1.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=0\n",
        cg__job__cpu__stat="",
        sys__devices__system__cpu__cpu1__cpufreq__scaling_cur_freq="2400000\n",
    )
    (tmp_path / "cg/job/cpu.stat").write_text("nr_periods 4\nnr_throttled 1\nthrottled_usec 5\n")
    core = min(machine.by_cpu[1].core, 1)
    watch = HostCounterReader(replace(machine, limits=limits), {1}, clock=lambda: 5.0, root=root)
    watch.look(7, must=True)
    (reading,) = watch.readings
    siblings = machine.cores[core]
    assert reading.busy_s == sum(10**cpu for cpu in siblings) / os.sysconf("SC_CLK_TCK")
    assert reading.throttling == Throttling(periods=4, stopped_periods=1, stopped_s=5e-6)
    assert (reading.swapped_in_pages, reading.swapped_out_pages) == (1, 2)
    assert reading.frequency_mhz == 2400.0
    assert reading.used_s[7] == 200 / os.sysconf("SC_CLK_TCK")
    assert os.getpid() in reading.used_s
    assert reading.waits == {7: Waits(ran_s=2.0, waited_s=0.3)}
    assert reading.pressure_s == 2.5
    # A thread that has ended keeps what was seen of it, and one that has its number now is another.
    (tmp_path / "proc/7/task/7/children").write_text("")
    (tmp_path / "proc/7/task/7/schedstat").write_text("100000000 10000000 1\n")
    watch.look(7, must=True)
    assert watch.readings[-1].waits == {7: Waits(ran_s=2.1, waited_s=0.31)}


def test_readings_keep_to_their_share_of_time_but_no_worker_is_forgotten(tmp_path: Path) -> None:
    now = iter([10.0, 10.1, 10.2, 12.0, 13.0, 99.0, 99.1]).__next__
    root = tree(tmp_path, proc__7__stat="7 (x) S 1 7 7 0 -1 0 0 0 0 0 100 0 0 0 20 0\n")
    watch = HostCounterReader(synthetic_machine("1s 1n 1c 1t"), {0}, clock=now, root=root)
    watch.look()  # takes 0.1 s: the next is due after 2 s
    watch.look(7)
    assert [reading.time for reading in watch.readings] == [10.0]
    assert 7 in watch.readings[0].used_s
    watch.look()
    watch.look(must=True)
    assert [reading.time for reading in watch.readings] == [10.0, 13.0]


BUSY = """\
import time
from ipexlaunch import worker
worker.ready()
end = time.monotonic() + 2.3
while time.monotonic() < end:
    sum(range(100_000))
    worker.count()
worker.finish()
"""


@pytest.mark.process
def test_a_burner_beside_the_workers_makes_the_run_invalid(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(BUSY)
    cpu = min(os.sched_getaffinity(0))
    burn = f"import os, time\nos.sched_setaffinity(0, {{{cpu}}})\nwhile os.getppid() == {os.getpid()}: pass\n"
    burner = subprocess.Popen([sys.executable, "-c", burn])
    try:
        result = subprocess.run(
            [sys.executable, "-m", "ipexlaunch", "--cores-list", str(cpu), "--lost-time", "0.2", "busy.py"],
            capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
    finally:
        burner.kill()
        burner.wait()
    assert result.returncode == 4, result.stderr
    assert "INVALID: other programs ran on the workers' cores" in result.stderr


SLEEPS = """\
import time
from ipexlaunch import worker
worker.ready()
for _ in range(25):
    time.sleep(0.1)
    worker.count()
worker.finish()
"""


@pytest.mark.process
@pytest.mark.skipif(
    thread_times(Path("/proc/self/schedstat").read_text() if Path("/proc/self/schedstat").exists() else "")
    in (None, (0, 0)),
    reason="the kernel does not count waits",
)
@pytest.mark.parametrize("words", [["sleeps.py"], ["--no-python", "sleep", "2.5"]], ids=["tells", "tells nothing"])
def test_a_burner_takes_nothing_from_a_worker_that_sleeps(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "sleeps.py").write_text(SLEEPS)
    cpu = min(os.sched_getaffinity(0))
    burn = (
        f"import os, time\nos.nice(19)\nos.sched_setaffinity(0, {{{cpu}}})\nwhile os.getppid() == {os.getpid()}: pass\n"
    )
    burner = subprocess.Popen([sys.executable, "-c", burn])
    try:
        result = subprocess.run(
            [sys.executable, "-m", "ipexlaunch", "--cores-list", str(cpu), "--lost-time", "0.25", *words],
            capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
    finally:
        burner.kill()
        burner.wait()
    assert result.returncode == 0, result.stderr
    assert "their threads waited" in result.stderr or "while the workers' threads waited" in result.stderr
