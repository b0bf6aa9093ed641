"""Nothing that a command reads is written by it: every option is in the table, and every pair of them is refused."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ipexlaunch.cli import COMMANDS
from ipexlaunch.cli.main import main
from ipexlaunch.cli.options.checked_command import FileCheckedCommand
from ipexlaunch.cli.options.option_table import FOLDERS, READS, WRITES
from ipexlaunch.cli.options.option_types import Number, Size

NO_TEXT = (click.Choice, click.types.IntParamType, click.types.FloatParamType, click.types.BoolParamType, Number, Size)

NEEDED = {
    "bench": {"model": "random:bert-base"},
    "batch": {"input_file": "other.jsonl", "output_file": "out.jsonl", "program": "other.py"},
    "loadgen": {"input_file": "other.jsonl", "program": "other.py", "qps": "1"},
    "report": {"paths": "other.json"},
    "run": {"program": "other.py"},
    "tune": {"program": "other.py"},
}
"""What the parser asks for."""

INSIDE = {
    "model": "config.json",
    "models": "config.json",
    "paths": "report.json",
    "replay": "plan.yaml",
    "root": "proc/cpuinfo",
    "source": "sys/cpu.tar.gz",
    "run_dir": "events.jsonl",
    "loadgen_log_dir": "mlperf_log_summary.txt",
}
"""A file in a directory that an option names."""

APART = {
    "completion": "it names no file",
    "shards": "its commands take DIR; tests/batch/shards has their options",
    "serve": "its files are those of `run`; tests/serve has its commands",
}
"""Commands that are not checked like this."""

NEITHER = frozenset(
    {
        "accelerators", "arguments", "batch_size_option", "batch_sizes", "budget", "cache_limit",
        "cores_list", "delimiter", "env",
        "groups", "id_field", "instance_idx", "log_file_prefix", "memory_per_instance_bytes", "metrics_address",
        "ncores_per_instance", "nodes_list", "on_failure", "quote", "seconds_option", "text_field", "throughput_regex",
        "tokens_field", "ready_when", "endpoint", "affinity_header", "run", "rendezvous", "rendezvous_ports", "job_id",
    }
)  # fmt: skip
"""Keyword arguments that take a text which names no file."""


def command(name: str) -> click.Command:
    found: click.Command = getattr(importlib.import_module(f"ipexlaunch.cli.{COMMANDS[name][0]}"), f"{name}_command")
    return found


def named(name: str) -> Iterator[click.Parameter]:
    return (each for each in command(name).params if not isinstance(each.type, NO_TEXT))


def pairs() -> Iterator[tuple[str, str, str]]:
    for name in COMMANDS:
        kinds = [each.name or "" for each in named(name)]
        for read in (kind for kind in kinds if kind in READS):
            for written in (kind for kind in kinds if kind in WRITES):
                if written not in FOLDERS or written in INSIDE:
                    yield name, read, written


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in APART])
def test_every_option_with_a_text_is_in_the_table_once(name: str) -> None:
    assert isinstance(command(name), FileCheckedCommand)
    for each in named(name):
        groups = [each.name in group for group in (READS, WRITES, NEITHER)]
        assert sum(groups) == 1, (
            f"{name}: {each.opts}: say in cli/options/option_table.py what the command does with it"
        )


def words(name: str, given: dict[str, str]) -> list[str]:
    """The command line of keyword arguments."""
    flags: list[str] = []
    arguments: list[str] = []
    for each in command(name).params:
        value = given.get(each.name or "")
        if value is not None:
            if isinstance(each, click.Argument):
                arguments.append(value)
            else:
                flags += [max(each.opts, key=len), value]
    return [name, *flags, *arguments]


@pytest.mark.parametrize(("name", "read", "written"), list(pairs()))
def test_a_file_that_is_read_is_never_written(
    name: str,
    read: str,
    written: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for other in ("other.py", "other.jsonl", "other.json"):
        Path(other).write_text("{}")
    source, output = Path("read", INSIDE.get(read, "precious")), Path("made", INSIDE.get(written, "precious"))
    if written in ("metrics_file", "save") and output.suffix not in (".prom", ".gz"):
        output = output.with_suffix(".prom" if written == "metrics_file" else ".tar.gz")
    for path in (source, output):
        path.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("precious")
    folder = str(output.parent) if written in INSIDE else str(output)
    reading = "read" if read in INSIDE else str(source)
    command_line = words(name, {**NEEDED.get(name, {}), read: reading, written: folder})
    if read in ("python", "pythons"):
        source.chmod(0o755)
    for link in (os.link, os.symlink):
        link(source.absolute(), output)
        before = os.stat(source)
        assert main(command_line) == 2
        said = capfd.readouterr().err
        assert f"it is {READS[read]}" in said, said
        assert source.read_text() == "precious"
        assert (os.stat(source).st_ino, os.stat(source).st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert sorted(os.listdir(output.parent)) == [output.name]
        output.unlink()


@pytest.mark.parametrize(
    "line",
    [
        "batch --input o.jsonl.dead.jsonl --output o.jsonl --overwrite p.py",
        "batch --input o.jsonl.ledger --format jsonl --output o.jsonl --overwrite p.py",
        "batch --input o.jsonl.part --format jsonl --output o.jsonl --overwrite --keep-order p.py",
        "batch --input o.jsonl.ledger-wal --format jsonl --output link.jsonl p.py",
        "batch --input in.jsonl --output o.jsonl --report o.jsonl p.py",
        "batch --input in.jsonl --output o.jsonl --report ./o.jsonl.ledger p.py",
        "batch --input in* --output in.jsonl --overwrite p.py",
        "run --report r --metrics-file r.prom --run-dir r p.py",
        "run --run-dir kept --report kept/report.json p.py",
        "run --report logs --log-dir logs p.py",
        "run --report a.json --log-dir a.json/logs p.py",
        "run --report package/__main__.py package",
        "run --report package/__main__.py -m package",
        "topology --topology in.tar.gz --save ./in.tar.gz",
        "report r.json --html r.json",
        "tune --report best --write-plan ./best p.py",
    ],
)
def test_requests_that_would_destroy_a_file_are_refused(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = ["p.py", "in.jsonl", "in.tar.gz", "r.json", "package/__main__.py"]
    kept += [f"o.jsonl{end}" for end in (".part", ".ledger", ".ledger-wal", ".dead.jsonl")]
    Path("package").mkdir()
    for name in kept:
        Path(name).write_text(f'{{"precious": "{name}"}}\n')
    Path("link.jsonl").symlink_to("o.jsonl")
    before = {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert main(line.split()) == 2
    said = capfd.readouterr().err
    assert "it is " in said or " is the " in said, said
    assert {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    assert not Path("logs").exists()


@pytest.mark.parametrize(
    "line",
    [
        "run --report OUT p.py",
        "run --run-dir file p.py",
        "run --log-dir file p.py",
        "run --metrics-file OUT/x.prom --report . p.py",
        "run --log-file-prefix a/b --run-dir kept p.py",
        "run --on-failure often --run-dir kept p.py",
        "run --run-dir kept package",
        "run --run-dir planned p.py",
        "batch --input in.jsonl --output fresh.jsonl --keep-order p.py",
        "batch --input in.jsonl --output . p.py",
        "batch --input in.jsonl --output new/ p.py",
        "batch --input in.jsonl --output o.jsonl --overwrite --report . p.py",
        "batch --input in.jsonl --output o.jsonl --overwrite package",
        "batch --input in.jsonl --output o.jsonl --overwrite --on-failure often p.py",
        "bench --report . --model random:bert-base",
        "bench --text file/x --model random:bert-base",
        "bench --text empty --model random:bert-base",
        "bench --model package",
        "dtypes --model package",
        "tune --report . --model random:bert-base",
        "tune --write-plan file/x --model random:bert-base",
        "loadgen --qps 1 --input in.jsonl --text-field typo --model random:bert-base",
        "report r.json --html .",
        "topology --save package.tar.gz/",
        "batch --input in.jsonl --output loop p.py",
        "batch --input in.jsonl --output LONG p.py",
        "batch --input loop --format jsonl --output new.jsonl p.py",
        "run --report loop p.py",
        "run --run-dir LONG p.py",
        "bench --cache-dir file --model random:bert-base",
        "run --run-dir kept -m no_such_module",
        "batch --input in.jsonl --output o.jsonl --overwrite -m no_such_module.part",
        "batch --input in.jsonl --output o.jsonl --overwrite -m p.py",
        "batch --input in.jsonl --output o.jsonl --overwrite -m package",
        "batch --input in.jsonl --output= p.py",
        "batch --input in.jsonl --input= --output o.jsonl --overwrite p.py",
        "batch --input in.jsonl --output o.jsonl --overwrite --report= p.py",
        "run --run-dir= p.py",
        "run --log-dir= p.py",
        "report r.json --html=",
        "topology --save=",
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_touched_or_started(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("p.py", "in.jsonl", "file", "r.json", "o.jsonl", "o.jsonl.ledger"):
        Path(name).write_text('{"a": 1}\n')
    Path("empty").write_text("\n \n")
    Path("package").mkdir()
    Path("planned").mkdir()
    Path("planned/plan.yaml").write_text("mine")
    Path("fresh.jsonl.unfinished").write_text("mine")
    Path("loop").symlink_to("loop")
    before = {str(path): path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}
    assert main(line.replace("OUT", "package").replace("LONG", "n" * 300).split()) == 2
    said = capfd.readouterr().err
    assert len(said.splitlines()) == 1, said
    assert {str(path): path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("tune --model random:bert-base", "optuna"),
        ("loadgen --qps 1 --input in.jsonl --model random:bert-base", "mlperf_loadgen"),
        ("batch --input in.jsonl --output o.parquet --overwrite p.py", "pyarrow"),
        ("batch --input in.parquet --output o.parquet --output-format jsonl --overwrite p.py", "pyarrow"),
        ("batch --input in.jsonl --output o.parquet --output-format jsonl --overwrite --metrics-file m.prom p.py",
         "prometheus_client"),
        ("run --metrics-port 0 --run-dir kept p.py", "prometheus_client"),
    ],
)  # fmt: skip
def test_a_library_that_is_missing_is_found_out_first(
    line: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("p.py", "in.jsonl", "in.parquet", "o.parquet"):
        Path(name).write_text("{}\n")
    for name in (missing, "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    before = {str(path): path.read_bytes() for path in Path().rglob("*")}
    assert main(line.split()) == 2
    said = capfd.readouterr().err
    assert len(said.splitlines()) == 1, said
    assert "installed" in said
    assert {str(path): path.read_bytes() for path in Path().rglob("*")} == before
