"""A batch job that --run-dir kept is repeated with another output; what decides its results is as it was."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ipexlaunch.cli.batch_command import batch_command as command
from ipexlaunch.cli.options import REPEATED, AcrossHostsOptions, KeepingOptions, names_of
from ipexlaunch.cli.options.batch_options import REPEATED_BY_BATCH
from ipexlaunch.cli.options.plan_options import REQUEST_OPTIONS
from ipexlaunch.cli.replay import SETTLED
from ipexlaunch.cli.run_command import run_command as run
from ipexlaunch.report.kept_runs.open_runs import read_kept_command, read_run_directory
from tests.batch.check_results import problems_of
from tests.batch.test_batch_command import DOUBLE, ROOT, doubled, write_input

FREE = {
    "output_file", "output_format", "no_progress", "resume", "overwrite", "rebuild", "retry_dead", "replay", "program",
    "arguments", "errors_file", "drain_on_term", "take_over",
}  # fmt: skip
"""Options of `batch` alone that may be said anew."""


def batch(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ipexlaunch", *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.process
def test_a_job_is_repeated_with_another_output(tmp_path: Path) -> None:
    given = write_input(tmp_path, 60)
    (tmp_path / "program.py").write_text(DOUBLE)
    words = ("--input", "in.jsonl", "--id-field", "id", "--keep-order", "--ninstances", "1", "--batch-size", "7")
    first = batch(tmp_path, "batch", "--output", "a.jsonl", *words, "--run-dir", "kept", "program.py")
    assert first.returncode == 0, first.stderr
    options = read_kept_command(str(tmp_path / "kept")).options
    assert (options["batch_size"], options["id_field"], options["keep_order"]) == (7, "id", True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    second = batch(elsewhere, "batch", "--replay", "../kept", "--output", "b.jsonl", "--run-dir", "again")
    assert second.returncode == 0, second.stderr
    assert (elsewhere / "b.jsonl").read_text() == (tmp_path / "a.jsonl").read_text()
    assert problems_of(given, elsewhere / "b.jsonl", doubled) == []
    kept, again = (read_run_directory(str(path)) for path in (tmp_path / "kept", elsewhere / "again"))
    assert (again.plan, again.recorded.job, again.recorded.options) == (
        kept.plan, kept.recorded.job, kept.recorded.options,
    )  # fmt: skip
    # It is the same job: its output can be gone on with.
    third = batch(elsewhere, "batch", "--replay", "../kept", "--output", "b.jsonl", "--resume")
    assert third.returncode == 0, third.stderr
    assert "all 60 items are done already" in third.stderr
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for overlapping in (
        ("--output", "in.jsonl", "--overwrite"),
        ("--output", "c.jsonl", "--report", "program.py"),
        ("--output", "kept/run.yaml", "--overwrite"),
    ):
        refused = batch(tmp_path, "batch", "--replay", "kept", *overlapping)
        assert (refused.returncode, ": it is " in refused.stderr) == (2, True), refused.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    for wrong, told in {
        ("run", "--replay", "kept"): f"batch --replay {tmp_path}/kept --output FILE",
        ("batch", "--replay", "kept"): "Missing option '--output'",
        ("batch", "--replay", "kept", "--output", "c.jsonl", "program.py"): "leave out 'program.py'",
        ("batch", "--replay", "kept", "--output", "c.jsonl", "--input", "in.jsonl"): "--replay and --input exclude",
        ("batch", "--replay", "kept", "--output", "c.jsonl", "--batch-size", "8"): "--replay and --batch-size exclude",
        ("batch", "--replay", "kept", "--output", "c.jsonl", "--ninstances", "1"): "--ninstances",
        ("batch", "--replay", "kept", "--output", "c.jsonl", "--model", "random:bert-base"): "--model exclude each",
        ("batch", "--output", "c.jsonl", "program.py"): "Missing option '--input'",
    }.items():
        result = batch(tmp_path, *wrong)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert told in result.stderr
    run_file = tmp_path / "kept/run.yaml"
    text = run_file.read_text()
    run_file.write_text(re.sub(r"input_file: in\.jsonl,\s+", "", text))
    older = batch(tmp_path, "batch", "--replay", "kept", "--output", "c.jsonl")
    assert older.returncode == 2
    assert "the ipexlaunch that kept it did not note the input" in older.stderr
    run_file.write_text(text)
    (tmp_path / "in.jsonl").unlink()
    assert "in.jsonl" in batch(tmp_path, "batch", "--replay", "kept", "--output", "c.jsonl").stderr


@pytest.mark.process
def test_a_run_is_no_batch_job(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("print(1)\n")
    assert batch(tmp_path, "--ninstances", "1", "--run-dir", "kept", "script.py").returncode == 0
    refused = batch(tmp_path, "batch", "--replay", "kept", "--output", "c.jsonl")
    assert refused.returncode == 2
    assert f"it was made by `ipexlaunch run`; ipexlaunch run --replay {tmp_path}/kept" in refused.stderr


def test_every_option_of_batch_alone_is_settled_or_free() -> None:
    others = {parameter.name for parameter in run.params}
    own = {parameter.name for parameter in command.params if parameter.name not in others}
    assert own - set(SETTLED) == FREE - others
    assert set(REPEATED_BY_BATCH) - {"output_format"} <= set(SETTLED)


def test_every_option_of_run_is_settled_or_repeated_or_said_anew() -> None:
    planned = {*REQUEST_OPTIONS, "any_machine"}
    kept_or_refused = {*names_of(KeepingOptions), *names_of(AcrossHostsOptions)}
    anew = {*kept_or_refused, "dry_run", "topology", "profile", "replay", "multi_instance"}
    fates = [{*SETTLED}, {*REPEATED}, planned, anew]
    options = {each.name or "" for each in run.params if isinstance(each, click.Option)}
    assert options <= set.union(*fates)
    assert sum(len(each & options) for each in fates) == len(options)
