import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.lifecycle import Failure
from ipexlaunch.launch.placement.placement import Binding, Placement, Resident
from ipexlaunch.launch.run_record import Announced, Run, Samples, Spent, WorkerRecord
from ipexlaunch.measure.report import (
    EXIT_INVALID,
    Distribution,
    Report,
    aggregate,
    percentile,
    read_report,
    write_report,
)
from ipexlaunch.measure.service import ServiceSummary
from ipexlaunch.plan import Instance
from ipexlaunch.report.tables.report_table import report_table

MIB = 1 << 20
DATA = Path(__file__).parents[1] / "data"


def record(
    index: int,
    counts: list[tuple[float, int]],
    *,
    exit_code: int = 0,
    ready: float | None = 1.0,
    finished: float | None = 99.0,
    local: float = 1.0,
    latency_s: float = 0.01,
    told: Announced | None = None,
) -> WorkerRecord:
    samples = Samples()
    for time, items in counts:
        samples.add(time, items, tokens=2 * items, latency_s=latency_s)
    cpus, size = frozenset({index}), 100 * MIB
    return WorkerRecord(
        instance=Instance(index=index, cpus=cpus, nodes=frozenset({0}), threads=1),
        pid=100 + index,
        started=0.0,
        ready=ready,
        finished=finished,
        exit_code=exit_code,
        samples=samples,
        binding=Binding(cpus=cpus, memory="bind", nodes=frozenset({0})),
        placements=(
            Placement(
                cpus=cpus,
                threads=3,
                pinned_threads=0,
                main_thread_cpus=cpus,
                pages={0: int(local * size), 1: size - int(local * size)},
            ),
        ),
        told=told,
    )


def run(*records: WorkerRecord, go: float | None = 10.0, **changes: object) -> Run:
    facts = {"started": 0.0, "go": go, "ended": 99.0, "failures": (), "signal": None, "exit_code": 0, **changes}
    return Run(records=records, **facts)  # type: ignore[arg-type]


def test_the_headline_is_all_work_over_the_time_from_the_common_start_to_the_last_item() -> None:
    report = aggregate(run(record(0, [(12.0, 100), (14.0, 100)]), record(1, [(15.0, 100), (20.0, 100)])))
    assert report.throughput.makespan == 400 / 10
    assert report.throughput.seconds == 10.0
    assert report.throughput.tokens_per_second == 800 / 10


def test_the_naive_sum_overstates_when_one_is_slower() -> None:
    throughput = aggregate(run(record(0, [(15.0, 100)]), record(1, [(20.0, 100)]))).throughput
    assert throughput.naive_sum == 100 / 5 + 100 / 10
    assert throughput.makespan == 20.0


def test_the_steady_rate_counts_what_was_done_while_all_worked_and_shares_a_count_that_is_cut() -> None:
    slow = record(1, [(13.0, 30), (17.0, 40), (20.0, 30)])
    throughput = aggregate(run(record(0, [(15.0, 100)]), slow)).throughput
    assert throughput.steady_seconds == 5.0
    assert throughput.steady == pytest.approx((100 + 30 + 40 * 2 / 4) / 5)


def test_there_is_no_steady_rate_when_they_hardly_worked_together() -> None:
    report = aggregate(run(record(0, [(11.0, 100)]), record(1, [(20.0, 100)])))
    assert report.throughput.steady is None
    assert any("no steady rate" in warning for warning in report.warnings)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200), st.sampled_from([1, 50, 90, 99, 100]))
def test_a_percentile_is_a_sample_that_enough_samples_do_not_exceed(values: list[float], percent: int) -> None:
    ordered = sorted(values)
    found = percentile(ordered, percent)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= percent / 100 * len(ordered)
    assert sum(value < found for value in ordered) < percent / 100 * len(ordered)


def test_latencies_of_all_workers_are_merged_before_percentiles_are_taken() -> None:
    fast = record(0, [(11.0 + i, 1) for i in range(9)], latency_s=0.01)
    slow = record(1, [(19.0, 1)], latency_s=1.0)
    assert aggregate(run(fast, slow)).latency_ms == {"p50": 10.0, "p90": 10.0, "p99": 1000.0}


def test_a_good_run_is_valid() -> None:
    report = aggregate(run(record(0, [(20.0, 5)]), record(1, [(20.0, 5)])))
    assert (report.valid, report.reasons, report.warnings, report.exit_code) == (True, (), (), 0)


def test_programs_that_count_nothing_are_valid_and_have_no_rate() -> None:
    report = aggregate(run(record(0, [], ready=None, finished=None), record(1, [], ready=None, finished=None), go=None))
    assert report.valid
    assert report.throughput.makespan is None
    text = report_table(report)
    assert "no throughput" in text
    assert "--throughput-regex" in text


def test_a_run_that_failed_is_not_told_how_to_count() -> None:
    facts = run(record(0, [], ready=None, finished=None), go=None, signal=2, exit_code=130)
    assert "--throughput-regex" not in report_table(aggregate(facts))


def test_who_was_stopped_is_not_shown_as_if_it_had_failed() -> None:
    failure = Failure(index=1, stage="run", code=7, message="ended with exit code 7", time=3.0)
    records = (record(0, [], exit_code=143), record(1, [], exit_code=7))
    report = aggregate(run(*records, failures=(failure,), exit_code=7))
    assert report.failed == {1}
    rows = [line for line in report_table(report, color=True).splitlines() if "bind" in line]
    assert [RED in row for row in rows] == [False, True]


RED = "\x1b[1;31m"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (run(record(0, [(20.0, 5)], local=0.5)), "50.0% of its anonymous memory"),
        (run(record(0, [(20.0, 5)]), record(1, [])), "instance 1 counted nothing"),
        (
            run(record(0, [(20.0, 5)], told=Announced(invalid=["wrong answers: cosine 0.2"]))),
            "instance 0: wrong answers: cos",
        ),
        (run(record(0, [(20.0, 5)], finished=None)), "never said that it finished"),
        (run(record(0, [(20.0, 5)]), signal=2, exit_code=130), "interrupted by SIGINT"),
        (
            run(
                record(0, [(20.0, 5)], exit_code=9),
                exit_code=9,
                failures=(Failure(index=0, stage="run", code=9, message="ended with exit code 9", time=20.0),),
            ),
            "instance 0 ended with exit code 9",
        ),
    ],
)
def test_what_makes_a_run_invalid(facts: Run, reason: str) -> None:
    report = aggregate(facts)
    assert not report.valid
    assert any(reason in text for text in report.reasons)
    assert report.exit_code == (facts.exit_code or EXIT_INVALID)
    assert "INVALID" in report_table(report)


def test_a_straggler_is_named() -> None:
    records = [record(i, [(20.0, 100)]) for i in range(3)] + [record(3, [(20.0, 50)])]
    (warning,) = aggregate(run(*records)).warnings
    assert "instance 3 is a straggler" in warning


def test_counts_without_a_common_start_carry_a_warning() -> None:
    report = aggregate(run(record(0, [(20.0, 100)], ready=None, finished=None), go=None))
    assert report.throughput.makespan == 100 / 20
    assert any("includes loading" in warning for warning in report.warnings)


def test_claimed_rates_are_added_up_but_not_believed() -> None:
    silent = [record(i, [], ready=None, finished=None) for i in range(3)]
    claiming = [replace(r, claimed_rate=rate) for r, rate in zip(silent, (100.5, 20.0, None), strict=True)]
    report = aggregate(run(*claiming, go=None))
    assert report.valid
    assert (report.throughput.makespan, report.throughput.naive_sum) == (None, 120.5)
    assert [instance.facts for instance in report.instances] == [{"claimed_rate": 100.5}, {"claimed_rate": 20.0}, {}]
    assert report.warnings == (
        "the rate is not measured: it adds up what each worker claims of itself; instance 2 claimed none",
    )
    lines = report_table(report).splitlines()
    assert "claimed/s" in lines[0]
    assert "no throughput: nothing was counted; the workers claim 120.5 a second in sum" in lines
    assert read_report(write_report(report), "r.json") == report


def test_columns_of_which_there_is_nothing_to_show_are_left_out() -> None:
    samples = Samples()
    samples.add(20.0, 5)
    head = report_table(aggregate(run(replace(record(0, []), samples=samples))), width=120).splitlines()[0].split()
    assert "items/s" in head
    assert not {"tokens/s", "p50", "p99", "claimed/s"} & set(head)


def talkative(index: int, **facts: object) -> WorkerRecord:
    """A worker that compiled, or waited for that, and told what it is."""
    told = Announced()
    names = ("loading", "compiling" if index == 0 else "waiting for compilation", "warming up")
    for time, name in zip((0.1, 1.0 + index / 10, 42.0), names, strict=True):
        told.begin_phase(name, time)
    told.end_phase(43.0)
    told.add_durations("first_token", [0.03 + index / 100, 0.04 + index / 100])
    told.facts.update(facts)
    return record(index, [(12.0, 100), (20.0, 100)], told=told)


def test_the_seconds_of_each_phase_are_reported() -> None:
    first, second = aggregate(run(talkative(0), talkative(1))).instances
    assert dict(first.phases_s) == pytest.approx({"loading": 0.9, "compiling": 41.0, "warming up": 1.0})
    assert list(second.phases_s) == ["loading", "waiting for compilation", "warming up"]


def starting(index: int, *costs: tuple[str, float, int]) -> WorkerRecord:
    """A worker that told what its process had cost when each of these began, the last when it was ready."""
    told = Announced()
    for time, (name, cpu_s, mib) in enumerate(costs):
        if name == "ready":
            told.ready_spent = Spent(cpu_s, mib << 20)
        else:
            told.begin_phase(name, float(time), Spent(cpu_s, mib << 20))
    return record(index, [(20.0, 100)], told=told)


def test_what_the_start_cost_is_reported_by_phase_for_each_worker_and_for_all() -> None:
    first = starting(0, ("imports", 0.1, 4), ("loading", 4.0, 400), ("warming up", 4.1, 410), ("ready", 5.0, 1400))
    second = starting(1, ("imports", 0.1, 4), ("loading", 4.4, 400), ("warming up", 4.4, 410), ("ready", 5.0, 1400))
    report = aggregate(run(first, second, record(2, [(20.0, 5)])))
    assert [instance.start and instance.start.cpu_s for instance in report.instances] == [5.0, 5.0, None]
    assert report.start is not None
    assert report.start.cpu_s == 10.0
    assert report.start.anonymous_bytes == 2800 << 20
    # Loading took 1 % of the time; the second worker's share alone would not be shown.
    assert (
        "  start of 2 workers: 10.0 cpu-s, 2.7 GiB anonymous: imports 84%, loading 1%, warming up 15%"
        in report_table(report, width=120).splitlines()
    )
    assert read_report(write_report(report), "r.json") == report


def test_nothing_is_said_of_a_start_of_which_nobody_told() -> None:
    report = aggregate(run(talkative(0)))
    assert report.start is None
    assert "start of" not in report_table(report)


def test_durations_of_all_workers_are_merged_before_percentiles_are_taken() -> None:
    report = aggregate(run(talkative(0), talkative(1), record(2, [(20.0, 5)])))
    assert report.distributions_ms == {"first_token": Distribution(count=4, p50=40.0, p90=50.0, p99=50.0)}
    assert report.instances[0].distributions_ms == {"first_token": Distribution(count=2, p50=30.0, p90=40.0, p99=40.0)}
    assert report.instances[2].distributions_ms == {}


def test_the_reports_facts_are_those_on_which_all_agree_that_told_any() -> None:
    report = aggregate(run(talkative(0, dtype="bf16", cache="miss"), talkative(1, dtype="bf16", cache="hit", extra=1)))
    assert report.facts == {"dtype": "bf16"}
    assert report.instances[1].facts == {"dtype": "bf16", "cache": "hit", "extra": 1}
    assert aggregate(run(talkative(0, dtype="bf16"), record(1, [(20.0, 5)]))).facts == {"dtype": "bf16"}
    assert aggregate(run(talkative(0, none=None), talkative(1, dtype="bf16"))).facts == {}


def test_what_workers_told_is_written_and_read_back() -> None:
    report = aggregate(run(talkative(0, notes=["a", {"b": [1.5, None]}]), talkative(1, notes=["c"])))
    assert read_report(write_report(report), "r.json") == report


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_shows_what_workers_told_within_its_width(width: int) -> None:
    facts = {
        "dtype": "bf16",
        "random": True,
        "worst_cosine": 0.99987,
        "notes": ["a"],
        "text": "\x1b[31mred",
        "long": "x" * 99,
    }
    lines = report_table(aggregate(run(*(talkative(i, **facts) for i in range(4)))), width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert "  first_token p50 50.0 ms, p90 70.0 ms, p99 70.0 ms (8 samples)" in lines
    text = " ".join(" ".join(lines).split())
    assert (
        "loading 1.20 s, compiling 41.0 s (1 of 4), waiting for compilation 40.9 s (3 of 4), warming up 1.00 s" in text
    )
    assert "all say: dtype bf16; random yes; worst_cosine 0.99987; text red VALID" in text
    assert ("tokens/s" in lines[0]) == (width == 120)


def example() -> Report:
    failed = Failure(index=1, stage="run", code=9, message="ended with exit code 9", time=20.0)
    facts = run(record(0, [(20.0, 5)]), record(1, [(19.0, 5)], exit_code=9), failures=(failed,), exit_code=9)
    return aggregate(facts, {"kernel": "6.1"})


def test_a_report_is_written_and_read_back_whole() -> None:
    report = example()
    text = write_report(report)
    assert read_report(text, "r.json") == report
    assert next(iter(json.loads(text))) == "schema"


def test_the_accelerator_of_each_instance_is_shown_and_kept() -> None:
    plain = [record(index, [(20.0, 5)]) for index in (0, 1)]
    driving = [replace(one, instance=replace(one.instance, accelerator=f"xpu:{one.instance.index}")) for one in plain]
    report = aggregate(run(*driving))
    assert [instance.accelerator for instance in report.instances] == ["xpu:0", "xpu:1"]
    lines = report_table(report, width=100).splitlines()
    assert "device" in lines[0]
    assert "xpu:1" in lines[2]
    assert read_report(write_report(report), "a test") == report
    assert "device" not in report_table(aggregate(run(*plain)), width=100)


def test_the_memory_of_all_is_the_sum_of_their_shares_and_counts_what_they_share_once() -> None:
    share = Resident(
        private_bytes=40 * MIB,
        shared_bytes=600 * MIB,
        proportional_bytes=200 * MIB,
        proportional_anonymous_bytes=140 * MIB,
        proportional_file_bytes=50 * MIB,
    )
    plain = [record(index, [(20.0, 5)]) for index in range(4)]
    looked = [replace(one, placements=(replace(one.placements[0], resident=share),)) for one in plain]
    report = aggregate(run(*looked))
    assert report.instances[0].placement is not None
    assert report.instances[0].placement.resident == share
    assert read_report(write_report(report), "a test") == report
    line = "  memory 800 MB together: 560 anonymous, 200 of files, 40 of shared memory; 160 in one process only"
    assert line in report_table(report).splitlines()
    assert "  memory 200 MB: 140 anonymous, 50 of files, 10 of shared memory; 40 in" in report_table(
        aggregate(run(looked[0]))
    )
    old = replace(share, proportional_anonymous_bytes=None)
    looked[3] = replace(plain[3], placements=(replace(plain[3].placements[0], resident=old),))
    text = report_table(aggregate(run(*looked)))
    assert "  memory 800 MB together: 160 in one process only\n" in text, "a kernel that does not tell the kinds"
    assert "memory 8" not in report_table(aggregate(run(*plain))), "one that tells nothing"


@pytest.mark.parametrize("node", ["9" * 5000, "x", "-1"])
def test_a_node_that_no_machine_has_is_refused_with_its_place(node: str) -> None:
    text = (DATA / "report-v1.json").read_text().replace('"0": 104857600', f'"{node}": 104857600')
    assert node in text
    with pytest.raises(DocumentError, match="anonymous_bytes"):
        read_report(text, "r.json")


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 4000, "0x" + "f" * 4000])
def test_a_number_that_nothing_has_is_refused_with_its_place(number: str) -> None:
    text = (DATA / "report-v1.json").read_text()
    for key in ("tokens", "peak_memory_bytes", "schema"):
        at = text.index(f'"{key}": ')
        changed = text[:at] + f'"{key}": {number}' + text[text.index(",\n", at) :]
        with pytest.raises(DocumentError, match=rf"line \d+, .*{key}: it holds a number of") as raised:
            read_report(changed, "r.json")
        assert len(str(raised.value)) < 200


@pytest.mark.parametrize("rate", ["-1.5", "1e-300", "1e300"])
def test_a_rate_that_nothing_has_is_refused_with_its_place(rate: str) -> None:
    text = (DATA / "report-v1.json").read_text()
    at = text.index('"makespan": ')
    with pytest.raises(DocumentError, match="makespan"):
        read_report(text[:at] + f'"makespan": {rate}' + text[text.index(",\n", at) :], "r.json")


def test_a_version_of_thousands_of_digits_is_another_version() -> None:
    text = (DATA / "report-v1.json").read_text().replace("ipexlaunch/report/1", "ipexlaunch/report/" + "1" * 5000)
    with pytest.raises(DocumentError, match="line 2: its schema is 'ipexlaunch/") as raised:
        read_report(text, "r.json")
    assert len(str(raised.value)) < 200


def test_a_rate_without_items_is_drawn() -> None:
    report = aggregate(run(record(0, [(20.0, 100)])))
    odd = replace(report, instances=tuple(replace(each, items=0) for each in report.instances))
    assert report_table(odd, width=100).splitlines()[1].startswith("[0]")


def test_a_report_of_version_1_loads_for_ever() -> None:
    report = read_report((DATA / "report-v1.json").read_text(), "report-v1.json")
    known = example()
    # It did not say yet what the makespan counts from.
    assert report == replace(known, throughput=replace(known.throughput, start=None))


def test_a_report_of_servers_is_read_back_and_others_have_nothing_of_them() -> None:
    served = ServiceSummary(endpoint="127.0.0.1:8000", restarts={0: 3}, refused=1, retries=4, strays={0: 2}, reloads=1)
    report = aggregate(run(record(0, [(20.0, 100)])), service=served)
    text = write_report(report)
    assert read_report(text, "r.json") == report
    assert '"restarts": {"0": 3}' in " ".join(text.split()).replace("{ ", "{").replace(" }", "}")
    plain = write_report(aggregate(run(record(0, [(20.0, 100)]))))
    assert read_report(plain, "r.json").service is None
    older = plain.replace(',\n "service": null', "")
    assert older != plain
    assert read_report(older, "r.json") == read_report(plain, "r.json")


@pytest.mark.parametrize(
    ("served", "told"),
    [
        (ServiceSummary(), "no restart"),
        (ServiceSummary(endpoint="[::1]:80", refused=0), "endpoint [::1]:80; no restart; 0 refused, 0 tried again"),
        (ServiceSummary(restarts={2: 1, 0: 2}, reloads=1), "3 restarts (instance 0: 2, 2: 1); 1 reload"),
        (ServiceSummary(strays={1: 4}), "no restart; found outside its slot by 4 looks (instance 1: 4)"),
    ],
)
def test_the_table_tells_what_became_of_servers(served: ServiceSummary, told: str) -> None:
    table = report_table(aggregate(run(record(0, [(20.0, 100)])), service=served), width=120)
    assert told in [line.strip() for line in table.splitlines()]
    assert "(100 requests in " in table


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_a_narrow_table_leaves_columns_out_rather_than_crop_them(width: int) -> None:
    table = report_table(aggregate(run(record(0, [(20.0, 100)]), record(1, [(20.0, 100)]))), width=width)
    head, *rows = table.splitlines()[:3]
    assert len(head) <= width
    assert {"cpus", "items/s", "p99", "local", "exit"} <= set(head.split())
    assert all("10.0" in row and "100.0%" in row for row in rows)


def test_the_table_fits_its_width_and_shows_every_instance() -> None:
    records = [record(i, [(20.0, 100)]) for i in range(64)]
    lines = report_table(aggregate(run(*records)), width=100).splitlines()
    rows = [line for line in lines if line.lstrip().startswith("[")]
    assert len(rows) == 64
    assert all(len(line) <= 100 for line in rows)
