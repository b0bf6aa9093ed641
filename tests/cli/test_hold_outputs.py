"""Whatever a command writes is held while it lasts: of two launches that would write it one is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipexlaunch.batch.ledger import Ledger
from ipexlaunch.cli import COMMANDS
from ipexlaunch.cli.main import main
from ipexlaunch.cli.options.hold_outputs import HELD, HELD_OTHERWISE
from ipexlaunch.cli.options.option_table import FOLDERS, REFUSED, WRITES
from ipexlaunch.launch.hold_place import hold_place
from tests.cli.test_named_files import NEEDED, command, words

ROOT = Path(__file__).parents[2]


def outputs() -> Iterator[tuple[str, str]]:
    for name in COMMANDS:
        kinds = [each.name or "" for each in command(name).params]
        for written in (kind for kind in kinds if kind in WRITES and kind not in HELD_OTHERWISE):
            if written not in REFUSED.get(name, {}):
                yield name, written


def held_by_another(place: Path) -> None:
    """By the process that has started this one, which lives."""
    hold_place(str(place), "x", "y")
    ours = json.loads(place.read_text())
    parent = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
    place.write_text(json.dumps({**ours, "pid": os.getppid(), "started": int(parent[19])}))


@pytest.mark.parametrize(("name", "written"), list(outputs()))
def test_what_another_launch_writes_is_refused_before_any_work(
    name: str, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ends = {"metrics_file": "out.prom", "save": "out.tar.gz", "page_file": "out.html"}
    output = ends.get(written, "out")
    requests = {"input_format": "openai", "model": "random:gpt2"}
    needs = {"export_dir": {"export": "systemd", "program": "x"}, "errors_file": requests}
    place = Path(output, HELD) if written in FOLDERS else Path(f".{output}.held")
    place.parent.mkdir(exist_ok=True)
    held_by_another(place)
    given = {**NEEDED.get(name, {}), **needs.get(written, {}), written: f"./{output}"}
    assert main(words(name, given)) == 75
    said = capfd.readouterr().err
    assert said.count("\n") == 1, said
    assert f"cannot write {WRITES[written]} to ./{output}: launcher {os.getppid()} on" in said
    assert sorted(os.listdir(".")) == [place.parts[0]]
    place.unlink()
    assert main(words(name, given)) != 75
    assert not place.exists()


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (".r.json.held", "batch --input in.jsonl --output r.json p.py"),
        (".r.json.held", "report kept --html r.json"),
        (".o.jsonl.ledger.held", "batch --input in.jsonl --output o.jsonl p.py"),
        ("kept/launcher.json", "run --report kept/report.json p.py"),
        ("kept/launcher.json", "run --log-dir kept/logs p.py"),
        ("kept/launcher.json", "batch --input in.jsonl --output link/events.jsonl p.py"),
    ],
)
def test_what_another_launch_writes_under_another_heading_is_refused(
    place: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("p.py", "in.jsonl"):
        Path(name).write_text('{"a": 1}\n')
    Path("kept").mkdir()
    Path("link").symlink_to("kept")
    held_by_another(Path(place))
    before = sorted(Path().rglob("*"))
    assert main(line.split()) == 75
    assert f"launcher {os.getppid()} on" in capfd.readouterr().err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    "line",
    [
        "run --report o.jsonl p.py",
        "run --report link/o.jsonl p.py",
        "run --report o.jsonl.dead.jsonl p.py",
        "report kept --html o.jsonl.part",
        "batch --input in.jsonl --output o.jsonl.ledger --overwrite p.py",
        "batch --input in.jsonl --output o.jsonl --overwrite p.py",
        "batch --input in.jsonl --output new.jsonl --report o.jsonl p.py",
    ],
)
def test_results_of_a_job_that_lives_are_written_by_nobody_else(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("p.py", "in.jsonl", "o.jsonl"):
        Path(name).write_text('{"a": 1}\n')
    Path("link").symlink_to(".")
    with Ledger.create("o.jsonl.ledger", {}):
        before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        assert main(line.split()) == 75
        assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    said = capfd.readouterr().err
    assert said.count("\n") == 1, said


def test_what_is_made_for_a_hold_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--report", "a/b/report.json", "--log-dir", "c/logs", "there-is-none.py"]) == 2
    assert os.listdir(".") == []


@pytest.mark.process
def test_a_name_as_long_as_they_can_be_is_held_too(tmp_path: Path) -> None:
    name = "r" * 255
    code = f"import os; assert [n for n in os.listdir('.') if n.endswith('.held')]"  # noqa: F541
    done = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", "--report", name, "--no-python", sys.executable,
         "-c", code],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path) == [name]


@pytest.mark.process
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP), (signal.SIGINT, 130)]
)
def test_a_launcher_that_is_ended_before_its_run_lets_go(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """It waits for its first item."""
    (tmp_path / "script.py").write_text("")
    waiting = subprocess.Popen(
        [sys.executable, "-m", "ipexlaunch", "batch", "--input", "-", "--output", "out.jsonl", "--report",
         "new/report.json", "script.py"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    held = tmp_path / "new/.report.json.held"
    while not held.exists() and waiting.poll() is None:
        time.sleep(0.02)
    waiting.send_signal(number)
    _, said = waiting.communicate(timeout=60)
    assert waiting.returncode == code, said
    assert os.listdir(tmp_path) == ["script.py"]


@pytest.mark.process
def test_two_searches_for_one_program_and_two_with_one_report(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\nfrom ipexlaunch import worker\nworker.ready()\ntime.sleep(60)\n")
    places = {name: str(tmp_path / name) for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    variables = {**os.environ, **places, "PYTHONPATH": str(ROOT)}
    tune = [sys.executable, "-m", "ipexlaunch", "tune", "--memory-allocator", "default", "--omp-runtime", "default"]
    tune += ["--seconds", "60"]  # of the first measurement, which the rest happens in
    first = subprocess.Popen(
        [*tune, "--report", "report.json", "slow.py"], cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True
    )
    assert first.stderr is not None
    try:
        for line in first.stderr:
            if "setting" in line:
                break
        for words_of_other, what in (
            (["slow.py"], "the study"),
            (["--batch-sizes", "1,2", "--batch-size-option", "-b", "slow.py"], "the profile"),
            (["--report", "report.json", "other.py"], "the report"),
        ):
            done = subprocess.run([*tune, *words_of_other], cwd=tmp_path, env=variables, capture_output=True, text=True)
            assert (done.returncode, done.stderr.count("\n")) == (75, 1), done.stderr
            assert f"cannot write {what} to " in done.stderr
            assert f"launcher {first.pid} on" in done.stderr
    finally:
        first.send_signal(signal.SIGTERM)
        said = first.communicate(timeout=60)[1]
    assert first.returncode == 143, said
    assert [str(path) for path in tmp_path.rglob("*.held")] == []
