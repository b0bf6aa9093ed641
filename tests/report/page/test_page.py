"""The page of runs: everything is in it, nothing is asked from elsewhere, and a browser does not complain."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from ipexlaunch.cli.report_command import report_command as command
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.report.kept_runs.open_runs import open_runs
from ipexlaunch.tune.next_step import Rule
from ipexlaunch.tune.optuna_study import open_study
from ipexlaunch.tune.search import search
from ipexlaunch.tune.trial import Outcome, write_tuning
from tests.report.page.made_runs import keep_made_run
from tests.tune.simulated_machines import random_machine

MACHINE = "2s 2n 14c 2t"
VOID = {"meta", "link", "img", "br"}


class Checker(HTMLParser):
    """Notes headings, addresses, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h2", "h3") and data.strip():
            self.headings.append(data.strip())


def page_of(*paths: Path, at: Path) -> tuple[str, Checker]:
    result = CliRunner().invoke(
        command, [*map(str, paths), "--html", str(at)], catch_exceptions=False, standalone_mode=False
    )
    assert result.return_value == 0, result.output
    text = at.read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    return text, checker


CHARTS = ["Throughput of each instance", "Latency", "Memory by node", "Phases", "Start of the workers", "Machine",
          "Where and what"]  # fmt: skip


def test_a_run_has_its_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    keep_made_run(tmp_path / "run", MACHINE, 4)
    text, checker = page_of(tmp_path / "run", at=tmp_path / "page.html")
    assert checker.headings == ["Result", "Instances", *CHARTS]
    assert "VALID" in text
    assert "instance 3" in text
    assert "<b>1,200</b><span>MB of memory, what is shared counted once</span>" in text
    words = [re.sub(r"<[^>]+>", " ", line).split() for line in text.splitlines()]
    assert ["compiling", "6.20", "44%", "500"] in words  # one of four compiled: 6.2 of 14 s, 500 MiB
    assert ["all", "14.0", "3600"] in words
    assert "s a step; shaded: all worked" in text
    assert all(address.startswith(("data:", "#")) for address in checker.addresses)
    assert not re.search(r"@import|url\((?!#)", text)
    assert not re.search(r"#0[1-5]0[2-7]0[3-7]\b", text), "a colour that should have been a variable"
    assert page_of(tmp_path / "run", at=tmp_path / "again.html")[0] == text


def test_several_runs_are_compared_and_their_scaling_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    paths = []
    for instances in (2, 4):
        for seed in range(2):
            paths.append(tmp_path / f"{instances}-{seed}")
            keep_made_run(paths[-1], MACHINE, instances, seconds=5, seed=seed)
    text, checker = page_of(*paths, at=tmp_path / "page.html")
    assert checker.headings[:3] == ["Comparison", "Scaling", "2-0"]
    assert "ideal: as many, each as fast as one alone" in text
    assert "2 x 28 cpus" in text


def test_a_search_has_its_map_and_its_table(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("optuna")
    machine = random_machine(7)
    study = open_study("", machine.space, 7)
    found = search(machine.space, machine.topology, Rule(budget_s=900), study, machine.measure)
    outcome = Outcome(best=found.best, why=found.why, settings=len(machine.space), runs=tuple(study.history))
    (tmp_path / "tuning.json").write_text(write_tuning(outcome))
    text, checker = page_of(tmp_path / "tuning.json", at=tmp_path / "page.html")
    assert checker.headings == ["Pick", "Map", "Search", "Settings"]
    assert found.best is not None
    assert found.best.words in text
    assert f">{found.best.split}{'+' * found.best.smt}</text>" in text
    assert not re.search(r"#0[1-5]0[2-7]0[3-7]\b", text), "a colour that should have been a variable"
    keep_made_run(tmp_path / "run", MACHINE, 2)
    _, both = page_of(tmp_path / "run", tmp_path / "tuning.json", at=tmp_path / "page.html")
    assert both.headings[:6] == ["tuning.json", "Pick", "Map", "Search", "Settings", "run"]
    table = CliRunner().invoke(command, [str(tmp_path / "tuning.json")], catch_exceptions=False).output
    assert table.splitlines()[4].startswith(found.best.split)


def test_ten_minutes_of_64_instances_stay_under_2_mb(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    keep_made_run(tmp_path / "run", "8s 1n 28c 2t", 64, seconds=600, per_second=2)
    text, checker = page_of(tmp_path / "run", at=tmp_path / "page.html")
    assert len(text.encode()) < 2_000_000
    assert "Throughput of all" in checker.headings


def test_a_report_alone_has_a_page_too_and_odd_words_stay_words(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    keep_made_run(tmp_path / "run", MACHINE, 2)
    report = tmp_path / "<b>&'.json"
    text = (tmp_path / "run/report.json").read_text().replace("embed.py", "<script>alert(1)</script>\\u202e")
    report.write_text(text)
    page, checker = page_of(report, at=tmp_path / "page.html")
    assert checker.headings == ["Result", "Instances", "Memory by node", "Start of the workers", "Where and what"]
    assert "<script" not in page
    assert "\u202e" not in page


@pytest.mark.process
def test_a_browser_has_nothing_to_complain_about(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium")
    keep_made_run(tmp_path / "run", MACHINE, 4)
    page_of(tmp_path / "run", at=tmp_path / "page.html")
    ran = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--enable-logging=stderr", f"--user-data-dir={tmp_path}/profile", "--dump-dom", f"file://{tmp_path}/page.html"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in ran.stderr
    assert "Throughput of each instance" in ran.stdout


def test_tables_need_no_library(tmp_path: Path) -> None:
    keep_made_run(tmp_path / "a", MACHINE, 2, seconds=5)
    keep_made_run(tmp_path / "b", MACHINE, 4, seconds=5)
    one = CliRunner().invoke(command, [str(tmp_path / "a")], catch_exceptions=False)
    assert "VALID" in one.output
    assert "efficiency" in one.output
    two = CliRunner().invoke(command, [str(tmp_path / "a"), str(tmp_path / "b")], catch_exceptions=False)
    assert "2 x 28 cpus" in two.output
    assert "ratios are to the first line" in two.output


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "x.json"):
        with pytest.raises(IpexLaunchError):
            open_runs([str(path)])
    keep_made_run(tmp_path / "run", MACHINE, 2, seconds=2)
    (tmp_path / "run/report.json").unlink()
    (tmp_path / "run/events.jsonl").unlink()
    with pytest.raises(IpexLaunchError, match="did not finish"):
        open_runs([str(tmp_path / "run")])


def test_names_are_as_long_as_they_must_be(tmp_path: Path) -> None:
    names = ["mon/run", "tue/run"]
    for name in names:
        keep_made_run(tmp_path / name, MACHINE, 2, seconds=2)
    assert [run.name for run in open_runs([str(tmp_path / name) for name in names])] == names
    assert [run.name for run in open_runs([str(tmp_path / "mon/run")])] == ["run"]


@pytest.mark.parametrize(
    "name",
    [r"x $\undefined$", "$", "_hidden", "a\x1bb\x00c", "half \ud800", "\udcff", "編譯中", "<b>&amp;", "line\nline"],
)
def test_any_name_of_a_phase_can_be_drawn(name: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    keep_made_run(tmp_path / "run", MACHINE, 2, seconds=2.0, phase=name)
    text, checker = page_of(tmp_path / "run", at=tmp_path / "page.html")
    assert checker.open == []
    shown = html.escape("".join(c if c.isprintable() else "?" for c in name), quote=False)
    assert shown in text
    assert "\x1b" not in text
    assert not recwarn.list
