"""`ipexlaunch plan` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.cli.main import main

SOURCE = ["--topology", "2s 1n 28c 2t"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["plan", *SOURCE, *words])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_table_has_a_line_per_instance(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--ninstances", "3")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[2:5]] == [["0", "0-13"], ["1", "14-27"], ["2", "28-41"]]


@pytest.mark.parametrize("form", ["table", "drawing", "svg", "numactl", "yaml", "json"])
def test_every_format_is_printed(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--ninstances", "2", "--format", form)
    assert (code, err) == (0, "")
    assert out.endswith("\n")


def test_underscores_and_old_spellings_mean_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    new = run(capsys, "--ncores-per-instance", "4", "--nodes-list", "1", "--use-logical-cores", "--format", "json")[1]
    old = run(capsys, "--ncore_per_instance", "4", "--node_id", "1", "--use_logical_core", "--format", "json")[1]
    assert new == old
    assert len(json.loads(new)["instances"]) == 7


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ninstances", "57"], "56 instances at most"),
        (["--ninstances", "0"], "--ninstances counts from 1"),
        (["--ninstances", "x"], "'x' is no whole number"),
        (["--ncores-per-instance", "x"], "'x' is not a number of cores"),
        (["--cores-list", "3-1"], "ends before it begins"),
        (["--cores-list", "a"], "'a' is not an id or a range"),
        (["--cores-list", ""], "it is empty"),
        (["--cores-list", "500"], "cpu 500 does not exist"),
        (["--nodes-list", "2"], "node 2 does not exist"),
        (["--latency-mode", "--throughput-mode"], "--latency-mode together with --throughput-mode"),
        (["--memory-per-instance", "lots"], "it is not a size"),
        (["--group", "2y4"], "it is not COUNTxCORES"),
        (["--node-id", "1", "--nodes-list", "1"], "--nodes-list together with --node-id"),
        (["--check", "no-such-file"], "no such file"),
        (["script.py"], "ipexlaunch run"),
        (["--export", "systemd"], "no program is given"),
        (["--export", "numactl", "--format", "json"], "--export and --format exclude each other"),
        (["--export-dir", "x"], "give --export too"),
        (["--export", "run_cpu"], "use --export numactl, or `ipexlaunch run`"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1
    assert err.startswith("ipexlaunch: ")


def test_a_plan_file_is_written_checked_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(run(capsys, "--ninstances", "4", "--format", "yaml", "--explain")[1])
    assert "# 4 instances asked for" in path.read_text()
    assert run(capsys, "--check", str(path))[0] == 0
    shown = run(capsys, "--plan", str(path))[1]
    assert shown == run(capsys, "--ninstances", "4")[1]
    code, _, err = run(capsys, "--plan", str(path), "--ninstances", "3")
    assert code == 2
    assert "--plan" in err
    assert "--ninstances" in err
    assert run(capsys, "--plan", str(path), "--instance-idx", "1", "--format", "numactl")[1].count("\n") == 1
    path.write_text(path.read_text().replace('"0-13"', '"0-14"'))
    code, _, err = run(capsys, "--check", str(path))
    assert code == 2
    assert f"{path}, line" in err


def test_an_export_is_written_into_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "units"
    code, out, _ = run(capsys, "--export", "systemd", "--export-dir", str(folder), "--", "/bin/echo", "--ninstances")
    assert (code, out) == (0, "")
    assert (folder / "ipexlaunch-1.service").read_text().endswith("ExecStart=/bin/echo --ninstances\n")


def test_planning_loads_nothing_heavy() -> None:
    """`make_plan` is on the way of every start."""
    code = (
        "import sys; from ipexlaunch.plan import Request, make_plan; "
        "from ipexlaunch.cli import plan_options, plan_file; "
        "print(sorted({'pydantic', 'yaml', 'rich', 'psutil', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
