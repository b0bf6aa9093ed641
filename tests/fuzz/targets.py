"""Everything that reads what somebody else wrote, each with whole examples that are mutated."""

from __future__ import annotations

import contextlib
import io
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from ipexlaunch.cli.main import main
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.launch.run_record import Announced, Samples
from ipexlaunch.launch.supervise.message_protocol import read_messages
from ipexlaunch.launch.throughput_regex import read_rule
from ipexlaunch.machine.cpulist import parse_list
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.measure.compare_runs import ComparedRun, compare
from ipexlaunch.measure.report import aggregate, read_report, write_report
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.notation import parse_bytes, parse_id_list
from ipexlaunch.plan.plan_file import read_checked_plan, write_plan
from ipexlaunch.report.kept_runs.events_file import read_events, read_events_so_far
from ipexlaunch.report.kept_runs.open_runs import read_run_directory
from ipexlaunch.report.kept_runs.run_documents import read_run_command, write_run_command
from ipexlaunch.report.live.status import read_status, write_status
from ipexlaunch.report.live.table import live_text
from ipexlaunch.report.tables.report_table import report_table
from ipexlaunch.report.tables.tuning_tables import tuning_text
from ipexlaunch.tune.profile import read_profile, write_profile
from ipexlaunch.tune.trial import read_tuning, write_tuning
from tests.fuzz.mutate import TOKENS, VALUES, mutated_data, mutated_text
from tests.machine.probe.fuzz import KINDS as MACHINE_KINDS
from tests.report.live.snapshots import IDENTITY, run_of, worker

TESTS = Path(__file__).resolve().parents[1]
DATA, KEPT = TESTS / "data", TESTS / "report" / "kept_runs" / "version-1"
MACHINE = synthetic_machine("2s 2n 3c 2t")
PLAN = make_plan(MACHINE, Request(ninstances=4))

Target = Callable[[random.Random], object]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


DOCUMENTS = {
    "report": [_read(DATA / "report-v1.json"), _read(KEPT / "report.json")],
    "tuning": [_read(DATA / "tuning-v1.json")],
    "profile": [_read(DATA / "profile-v1.json")],
    "plan": [write_plan(PLAN), write_plan(PLAN, as_json=True), _read(KEPT / "plan.yaml")],
    "run": [_read(KEPT / "run.yaml")],
    "status": [write_status(IDENTITY, run_of([worker(0), worker(1)]))],
}
EVENTS = _read(KEPT / "events.jsonl")
MESSAGES = (
    {"event": "ready"},
    {"event": "progress", "items": 3, "tokens": 5, "time": 1.0, "latency_s": 0.5},
    {"event": "progress", "items": [3, 4], "tokens": [5, 6], "times": [1.0, 2.0], "latencies_s": [0.5, 0.25]},
    {"event": "phase", "name": "load", "time": 1.0},
    {"event": "samples", "name": "prefill", "values_s": [0.5, 0.25]},
    {"event": "facts", "facts": {"engine": "torch", "deep": {"list": [1, 2, {"a": None}]}}},
    {"event": "invalid", "reason": "no"},
    {"event": "want", "batches": 2},
    {"event": "done", "batch": 1, "results": [1, {"a": 2}], "latency_s": 0.1},
    {"event": "failed", "batch": 1, "reason": "no"},
    {"event": "finished"},
)
WORDS = (
    "0",
    "1",
    "2",
    "4",
    "9" * 30,
    "-1",
    "1.5",
    "nan",
    "inf",
    "1e400",
    "",
    "0-3",
    "!1",
    "all",
    "24GiB",
    "5m",
    "x",
    "\udcff",
)
PLAN_OPTIONS = (
    *("--ninstances", "--ncores-per-instance", "--cores-list", "--nodes-list", "--reserve-cores", "--memory-policy"),
    *("--memory-per-instance", "--goal", "--greedy", "--use-logical-cores", "--group", "--format", "--topology"),
    *("--explain", "--export", "--compare", "--nope", "--throughput-mode", "--latency-mode", "--device"),
)


def changed(text: str, random_: random.Random) -> str:
    """A document with changes in its text, or in what it says."""
    if random_.random() < 0.4:
        return mutated_text(text, random_)
    data = mutated_data(yaml.safe_load(text) if not text.startswith("{") else json.loads(text), random_)
    if random_.random() < 0.5:
        return json.dumps(data)
    with contextlib.suppress(yaml.YAMLError, ValueError):
        return yaml.dump(data, sort_keys=False)
    return json.dumps(data)


def try_report(random_: random.Random) -> object:
    report = read_report(changed(random_.choice(DOCUMENTS["report"]), random_), "r.json")
    table = report_table(report)
    compare(
        [ComparedRun(name="a", report=report, environment={}), ComparedRun(name="b", report=report, environment={})],
        None,
    )
    return table, write_report(report).encode("utf-8")


def try_tuning(random_: random.Random) -> object:
    outcome = read_tuning(changed(random_.choice(DOCUMENTS["tuning"]), random_), "t.json")
    return tuning_text(outcome), write_tuning(outcome).encode("utf-8")


def try_profile(random_: random.Random) -> object:
    return write_profile(read_profile(changed(random_.choice(DOCUMENTS["profile"]), random_), "p.json")).encode("utf-8")


def try_plan(random_: random.Random) -> object:
    plan = read_checked_plan(changed(random_.choice(DOCUMENTS["plan"]), random_), "p.yaml", MACHINE, True)
    return write_plan(plan).encode("utf-8")


def try_run(random_: random.Random) -> object:
    recorded = read_run_command(changed(random_.choice(DOCUMENTS["run"]), random_), "run.yaml")
    return write_run_command(recorded).encode("utf-8")


def try_status(random_: random.Random) -> object:
    identity, snapshot = read_status(changed(DOCUMENTS["status"][0], random_), "socket")
    return live_text(snapshot, {}, width=100), write_status(identity, snapshot).encode("utf-8")


def try_events(random_: random.Random) -> object:
    lines = EVENTS.splitlines(keepends=True)
    for _ in range(random_.randint(1, 3)):
        at = random_.randrange(len(lines))
        what = random_.randrange(6)
        if what < 3:
            lines[at] = (
                json.dumps(mutated_data(json.loads(EVENTS.splitlines()[at % EVENTS.count("\n")]), random_)) + "\n"
            )
        elif what == 3:
            lines[at] = mutated_text(lines[at], random_)
        elif what == 4:
            del lines[at]
        else:
            lines.insert(random_.randrange(len(lines)), lines[at])
        if not lines:
            break
    run = random_.choice((read_events, read_events_so_far))(lines, "events.jsonl")
    return report_table(aggregate(run, {}, 0.95, (), None, 0.25))


def try_run_directory(random_: random.Random) -> object:
    with tempfile.TemporaryDirectory() as folder:
        for path in KEPT.iterdir():
            Path(folder, path.name).write_bytes(path.read_bytes())
        victim = Path(folder, random_.choice(sorted(path.name for path in KEPT.iterdir())))
        what = random_.randrange(5)
        if what == 0:
            victim.unlink()
        elif what == 1:
            victim.unlink()
            victim.mkdir()
        else:
            text = mutated_text(_read(victim), random_)
            victim.write_bytes(text.encode("utf-8", "surrogatepass" if what == 2 else "surrogateescape"))
        return read_run_directory(folder)


def try_messages(random_: random.Random) -> object:
    message = random_.choice(MESSAGES)
    if random_.random() < 0.5:
        text = json.dumps(mutated_data(message, random_))
    else:
        text = mutated_text(json.dumps(message), random_)
    samples, told = Samples(), Announced()
    said = read_messages(bytearray(text.encode("utf-8", "surrogatepass") + b"\n"), samples, told, 100.0)
    for each in said:
        if "\n" in each.text or "\n" in each.problem:
            raise AssertionError(f"a message of several lines: {each}")
    return said, json.dumps(told.facts, ensure_ascii=False, allow_nan=False).encode("utf-8")


def try_list(random_: random.Random) -> object:
    text = "".join(
        random_.choice(("0", "3", "-", ",", "!", "+", ":", "|", "all", " ", "9" * 5000, "٣", "\udcff"))
        for _ in range(random_.randint(0, 6))
    )
    if random_.random() < 0.3:
        return parse_list(text)
    if random_.random() < 0.3:
        return parse_bytes(text + random_.choice(("", "GiB", "Gi", "k", "TB", "GiBB")), "--size")
    return parse_id_list(text, "--cores-list", "cpu", frozenset(range(8)), range(8))


def try_rule(random_: random.Random) -> object:
    parts = (r"(?P<items>", r"(?P<total>", r"(?P<rate>", r"\d+", r"[\d.,]+", ")", "(", "x", ".*", "it/s", "(?P<tokens>")
    whole = (
        r"(?P<items>\d+) done",
        r"total=(?P<total>[\d.,]+)",
        r"([\d.,]+) it/s",
        r"(?P<rate>\S+) it/s, (?P<tokens>\d+)",
    )
    text = "".join(random_.choice(parts) for _ in range(random_.randint(1, 6)))
    rule = read_rule(text if random_.random() < 0.3 else random_.choice(whole))
    return rule.read(
        "".join(random_.choice((*TOKENS, "12", ".", "3 it/s", "1,000 done", "total=5k")) for _ in range(5))
    )


def try_options(random_: random.Random) -> object:
    """Words after `ipexlaunch plan`, the way that a user goes: one line and 2, or a plan."""
    words = ["plan"]
    for _ in range(random_.randint(0, 4)):
        words.append(random_.choice(PLAN_OPTIONS))
        if random_.random() < 0.8:
            words.append(
                random_.choice((*WORDS, *(str(value)[:40] for value in VALUES), "numa", "table", "json", "drawing"))
            )
    words += ["--topology", "2s 2n 3c 2t"]
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # strict, as a user's is
    err = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    said = err.getvalue()
    if code not in (0, 1, 2) or "Traceback" in said:
        raise AssertionError(f"{words} ended with {code}: {said[-3000:]}")
    if code == 2:
        if len(said.splitlines()) != 1:
            raise AssertionError(f"{words}: {said}")
        raise IpexLaunchError("plan", said.rstrip("\n"))
    return out


TARGETS: Sequence[tuple[Target, int]] = (
    (try_report, 12),
    (try_tuning, 6),
    (try_profile, 5),
    (try_plan, 10),
    (try_run, 6),
    (try_status, 6),
    (try_events, 10),
    (try_run_directory, 4),
    (try_messages, 12),
    (try_list, 8),
    (try_rule, 5),
    (try_options, 6),
    *((attempt, max(1, weight // 10)) for attempt, weight in MACHINE_KINDS),
)
"""What is tried, and its weight among all."""

ALWAYS_READ = frozenset({"try_messages"})
"""Refusals are answers there, not errors."""


def attempt_of(seed: int) -> tuple[Target, random.Random]:
    """The target and the source of chance that a seed stands for."""
    random_ = random.Random(seed)
    target = random_.choices([target for target, _ in TARGETS], [weight for _, weight in TARGETS])[0]
    return target, random_


def value_of(seed: int) -> Any:
    """What the seed's mutation gives; for a debugger."""
    target, random_ = attempt_of(seed)
    return target(random_)
