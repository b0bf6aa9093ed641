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
        "from ipexlaunch.cli.options import plan_options; "
        "print(sorted({'pydantic', 'yaml', 'rich', 'psutil', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LIMITED = """\
schema: ipexlaunch/topology/1
cpus: [{cpus}]
nodes:
- {{id: 0, memory_bytes: 68719476736, distances: {{"0": 10, "1": 21}}}}
- {{id: 1, memory_bytes: 68719476736, distances: {{"0": 21, "1": 10}}}}
cpu_quota: 8
memory_limit_bytes: 34359738368
limits:
- {{kind: quota, file: sys/fs/cgroup/cpu.max, quota: 8}}
- {{kind: memory, file: sys/fs/cgroup/memory.high, memory_bytes: 34359738368}}
"""


def ours(*words: str) -> subprocess.CompletedProcess[str]:
    """The real command."""
    command = [sys.executable, "-m", "ipexlaunch", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.process
def test_limits_of_the_cgroup_decide_and_are_named(tmp_path: Path) -> None:
    cpus = ", ".join(f"{{id: {n}, core: {n}, socket: {n // 32}, node: {n // 32}}}" for n in range(64))
    source = tmp_path / "limited.yaml"
    source.write_text(LIMITED.format(cpus=cpus))
    default = ours("plan", "--topology", str(source), "--format", "json")
    assert [instance["cpus"] for instance in json.loads(default.stdout)["instances"]] == ["0-3", "32-35"]
    assert default.stderr == (
        "ipexlaunch: 8 of 64 cores used (12 %), in 2 instances: the cgroup's cpu quota of 8 cpus "
        "(sys/fs/cgroup/cpu.max) pays for 8 threads: 2 instances of 4 cores\n"
    )
    one = ours("plan", "--topology", str(source), "--memory-per-instance", "24GiB", "--format", "json")
    assert len(json.loads(one.stdout)["instances"]) == 1
    two = ours("plan", "--topology", str(source), "--memory-per-instance", "24GiB", "--ninstances", "2")
    assert (two.returncode, two.stdout) == (2, "")
    assert "the cgroup allows 32 GiB (sys/fs/cgroup/memory.high) to all processes in it" in two.stderr


@pytest.mark.process
def test_a_stored_plan_is_run_as_written_and_its_quota_told(tmp_path: Path) -> None:
    cpus = ", ".join(f"{{id: {n}, core: {n}, socket: {n // 32}, node: {n // 32}}}" for n in range(64))
    source, stored = tmp_path / "limited.yaml", tmp_path / "plan.yaml"
    source.write_text(LIMITED.format(cpus=cpus))
    stored.write_text(ours("plan", "--topology", str(source), "--ninstances", "2", "--format", "yaml").stdout)
    shown = ours("plan", "--topology", str(source), "--plan", str(stored), "--format", "json")
    assert [instance["cpus"] for instance in json.loads(shown.stdout)["instances"]] == ["0-31", "32-63"]
    assert "does not pay for the 64 threads of this plan" in shown.stderr


@pytest.mark.process
def test_unlike_nodes_are_told_which_rule_decided() -> None:
    found = ours("plan", "--topology", "1s 48+16c", "--format", "json")
    assert [instance["nodes"] for instance in json.loads(found.stdout)["instances"]] == ["0", "0", "0", "1"]
    assert "nodes are unlike: the first number from 2 on" in found.stderr
    assert "--greedy would give 2 instances of 16 to 48 cores, all 64" in found.stderr
    assert ours("plan", "--topology", "2s 28c").stderr == ""
