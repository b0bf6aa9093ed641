"""No secret stands in what a run leaves or shows, nobody else may look, and a replay asks for what was not kept."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.batch.feed.open_job import what_changed
from ipexlaunch.report.kept_runs.open_runs import OpenedRun, open_runs

pytestmark = pytest.mark.process

OLD = Path(__file__).parent / "version-1"
ROOT = Path(__file__).parents[3]
SECRET = "hunter2hunter2"
SCRIPT = """\
import json, os, sys
from ipexlaunch import worker
worker.tell(endpoint="https://me:hunter2hunter2@host/x")
worker.ready()
worker.count()
worker.finish()
with open("seen.json", "w") as file:
    json.dump([sys.argv[1:], os.environ["API_KEY"], os.environ["ADDRESS"]], file)
"""
ADDRESS = f"https://me:{SECRET}@host/"
WORDS = ["--api-key", SECRET, f"--token={SECRET}", ADDRESS, "--max-tokens", "32"]
VARIABLES = ["--env", f"API_KEY={SECRET}", "--env", f"ADDRESS={ADDRESS}"]


def ipexlaunch(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ipexlaunch", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": ADDRESS, "HF_TOKEN": SECRET, **variables},
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "script.py").write_text(SCRIPT)
    options = ["--ninstances", "1", "--lost-time", "1", *VARIABLES, "--run-dir", "kept", "--report", "report.json"]
    os.umask(umask := os.umask(0))
    done = ipexlaunch(*options, "script.py", *WORDS, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert stat.S_IMODE((folder / "report.json").stat().st_mode) == 0o666 & ~umask
    return folder


def test_no_file_holds_a_secret_and_the_worker_had_it(kept: Path) -> None:
    assert json.loads((kept / "seen.json").read_text()) == [WORDS, SECRET, ADDRESS]
    for path in [kept / "report.json", *(kept / "kept").rglob("*")]:
        assert path.is_dir() or SECRET not in path.read_text(), path
    environment = json.loads((kept / "kept/environment.json").read_text())
    assert "HF_TOKEN" not in environment["variables"]
    assert environment["variables"]["HF_ENDPOINT"] == "https://me:***@host/"
    assert environment["workers"][0]["environment"]["API_KEY"] == "***"
    report = json.loads((kept / "report.json").read_text())
    assert report["provenance"]["program"] == [
        "script.py", "--api-key", "***", "--token=***", "https://me:***@host/", "--max-tokens", "32",
    ]  # fmt: skip


def test_nobody_else_may_look(kept: Path) -> None:
    for path in [kept / "kept", *(kept / "kept").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_an_empty_directory_that_was_there_becomes_private(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir(mode=0o755)
    done = ipexlaunch("--ninstances", "1", "--no-python", "--run-dir", "kept", "true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700


def test_the_page_and_the_table_of_a_kept_run_hold_none(kept: Path) -> None:
    done = ipexlaunch("report", "kept", "--html", "page.html", cwd=kept)
    assert done.returncode == 0, done.stderr
    assert SECRET not in (kept / "page.html").read_text() + done.stdout + done.stderr


def test_a_replay_asks_for_every_secret_by_name(kept: Path) -> None:
    done = ipexlaunch("run", "--replay", "kept", cwd=kept)
    assert done.returncode == 2
    for name in ("API_KEY", "ADDRESS", "TOKEN", "PASSWORD"):
        assert name in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_replay_takes_them_from_its_environment(kept: Path) -> None:
    (kept / "seen.json").unlink(missing_ok=True)
    variables = {"API_KEY": SECRET, "TOKEN": SECRET, "PASSWORD": SECRET, "ADDRESS": ADDRESS}
    done = ipexlaunch("run", "--replay", "kept", "--lost-time", "1", cwd=kept, **variables)
    assert done.returncode == 0, done.stderr
    assert json.loads((kept / "seen.json").read_text()) == [WORDS, SECRET, ADDRESS]
    assert SECRET not in done.stderr


def test_the_dry_run_names_the_shells_own_variables_and_its_line_works(kept: Path) -> None:
    done = ipexlaunch("--ninstances", "1", "--dry-run", *VARIABLES, "script.py", *WORDS, cwd=kept)
    assert done.returncode == 0
    assert SECRET not in done.stdout
    assert 'API_KEY="$API_KEY"' in done.stdout
    (kept / "seen.json").unlink(missing_ok=True)
    variables = {"API_KEY": SECRET, "TOKEN": SECRET, "PASSWORD": SECRET, "ADDRESS": ADDRESS}
    line = done.stdout.split(" numactl ")[0] + " " + done.stdout[done.stdout.index(sys.executable) :]
    subprocess.run(["sh", "-c", line], cwd=kept, env={**os.environ, **variables}, check=True, timeout=60)
    assert json.loads((kept / "seen.json").read_text()) == [WORDS, SECRET, ADDRESS]


def test_an_error_that_quotes_what_was_typed_hides_it(kept: Path) -> None:
    done = ipexlaunch("--ninstances", "1", "--no-python", f"https://me:{SECRET}@host/x", cwd=kept)
    assert done.returncode == 2
    assert "https://me:***@host/x" in done.stderr
    assert SECRET not in done.stderr


def test_a_directory_of_before_keeps_its_secrets_and_is_shown_without(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(OLD, kept)
    text = (kept / "run.yaml").read_text()
    (kept / "run.yaml").write_text(text.replace("A: b", f"API_KEY: {SECRET}"))
    report = json.loads((kept / "report.json").read_text())
    report["provenance"]["program"] = ["x", "--token", SECRET]
    (kept / "report.json").write_text(json.dumps(report))
    (opened,) = open_runs([str(kept)])
    assert isinstance(opened, OpenedRun)
    assert opened.kept is not None
    assert opened.kept.recorded.job.environment == {"API_KEY": SECRET}
    assert opened.report.provenance["program"] == ["x", "--token", "***"]


def test_the_ledger_of_a_batch_job_holds_none_and_an_older_one_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text":"a"}\n')
    script = "from ipexlaunch import worker\nfor batch in worker.batches():\n    batch.done([1] * len(batch.items))\n"
    (tmp_path / "program.py").write_text(script)
    words = ["batch", "--input", "in.jsonl", "--output", "out.jsonl", "--ninstances", "1", "--env", f"API_KEY={SECRET}"]
    done = ipexlaunch(*words, "program.py", "--token", SECRET, cwd=tmp_path)
    assert done.returncode in (0, 4), done.stderr
    for path in tmp_path.iterdir():
        assert SECRET.encode() not in path.read_bytes(), path
    before = {"program": {"arguments": ["--token", SECRET], "environment": {"API_KEY": SECRET}}}
    now = {"program": {"arguments": ["--token", "***"], "environment": {"API_KEY": "***"}}}
    assert what_changed(before, now) == []
    assert what_changed({"program": {"arguments": ["--n", "1"]}}, {"program": {"arguments": ["--n", "2"]}}) != []
