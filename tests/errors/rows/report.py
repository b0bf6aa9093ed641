"""Reports and kept runs: files that are damaged or of another kind, and figures that cannot be exported."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from ipexlaunch.report.kept_runs.open_runs import read_run_directory
from ipexlaunch.report.kept_runs.run_directory import check_holds_no_run, keeping_in, make_run_directory
from ipexlaunch.report.live.metrics import MetricsServer
from ipexlaunch.report.live.status import read_status
from tests.errors.provoke import Row

PLACES = ("report/",)

KEPT = Path(__file__).parents[2] / "report/kept_runs/version-1"
A = {"a.py": ""}


def kept(name: str = "", change: Callable[[str], str] | None = None) -> Row:
    """A run directory in which a file is gone, or another one."""

    def prepare() -> None:
        shutil.copytree(KEPT, "d")
        place = Path("d", name)
        if name and change:
            place.write_text(change(place.read_text(encoding="utf-8")), encoding="utf-8")
        elif name:
            place.unlink()

    return Row("report d", before=prepare)


def events(change: Callable[[list[str]], list[str]]) -> Row:
    """The events of a run, changed."""
    return kept("events.jsonl", lambda text: "".join(change(text.splitlines(keepends=True))))


def _without(word: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [line for line in lines if f'"{word}"' not in line]


def _metrics() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        MetricsServer("run", None, "127.0.0.1", taken.getsockname()[1])  # type: ignore[arg-type]


def _keep() -> None:
    with keeping_in("f/d", "name a place that can be written"):
        os.makedirs("f/d")


def _unfinished() -> None:
    shutil.copytree(KEPT, "d")
    for name in ("report.json", "events.jsonl"):
        Path("d", name).unlink()


def _with_share() -> None:
    shutil.copytree(KEPT, "d")
    Path("d/report.json").unlink()
    run = Path("d/run.yaml")
    run.write_text(run.read_text().replace("local_pages: 0.95", "local_pages: 7"))


def _make_again() -> None:
    kept = read_run_directory("d")
    make_run_directory("d", kept.recorded, kept.plan, kept.topology)


ROWS = [
    Row("report nowhere"),
    Row("report d", {"d": None}),
    Row("run --replay nowhere"),
    Row("run --replay d", {"d": None}),
    kept("events.jsonl"),
    events(lambda _: []),
    events(lambda lines: ["{}\n", *lines[1:]]),
    events(lambda lines: [*lines[:3], "nonsense\n", *lines[3:]]),
    events(lambda lines: [lines[0], "[" * 600 + "]" * 600 + "\n", *lines[1:]]),
    events(lambda lines: [lines[0], "[" * 90000 + "\n", *lines[1:]]),
    events(lambda lines: [lines[0], '{"event": "nothing"}\n', *lines[1:]]),
    events(_without("begin")),
    events(_without("end")),
    events(_without("start")),
    Row("report d", before=_unfinished),
    Row("report d", before=_with_share),
    Row(_make_again, before=lambda: shutil.copytree(KEPT, "d"), name="make_run_directory(a run)"),
    Row("run --run-dir d a.py", A, before=lambda: shutil.copytree(KEPT, "d")),
    Row(lambda: check_holds_no_run("d"), before=lambda: shutil.copytree(KEPT, "d"), name="check_holds_no_run(a run)"),
    Row(_keep, {"f": ""}, name="keeping_in(below a file)"),
    Row("run --metrics-file m.txt a.py", A),
    Row(_metrics, name="MetricsServer(a port that is taken)"),
    Row(lambda: read_status("{", "the run"), name="read_status(no JSON)"),
    Row(lambda: read_status('{"schema": "x"}', "the run"), name="read_status(another schema)"),
]

ELSEWHERE = {
    "prometheus_client is not installed":
        "tests/errors/test_how_to_add.py::test_every_command_that_lacks_a_package_says_how_to_add_it",
}  # fmt: skip
