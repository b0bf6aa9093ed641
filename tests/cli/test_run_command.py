"""`ipexlaunch run` as users type it: mistakes, exit codes, arguments, what it imports."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

HEAVY = ("torch", "numpy", "yaml", "pydantic", "psutil", "rich")


def ipexlaunch(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ipexlaunch", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **variables},
        timeout=120,
        check=False,
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that leaves a file behind for each worker that starts."""
    path = tmp_path / "script.py"
    path.write_text("import os, pathlib\npathlib.Path(f'started-{os.getpid()}').touch()\n")
    return path


MISTAKES = [
    (["--ninstances", "9999", "script.py"], ["9999", "cores"]),
    (["--ninstances", "-1", "script.py"], ["--ninstances"]),
    (["--ninstances", "two", "script.py"], ["--ninstances", "two"]),
    (["--ncores-per-instance", "9999", "script.py"], ["9999", "cores"]),
    (["--cores-list", "9999", "script.py"], ["9999", "allowed"]),
    (["--cores-list", "3-1", "script.py"], ["3-1", "1-3"]),
    (["--cores-list", "a", "script.py"], ["'a'"]),
    (["--cores-list", "", "script.py"], ["--cores-list", "empty"]),
    (["--nodes-list", "77", "script.py"], ["77", "allowed"]),
    (["missing.py"], ["missing.py", "no such file"]),
    (["scrip.py"], ["did you mean script.py?"]),
    (["plam"], ["did you mean `ipexlaunch plan`?"]),
    (["--ninstance", "1", "script.py"], ["--ninstance", "--ninstances"]),
    (["--ninstances", "1"], ["PROGRAM"]),
    (["--plan", "missing.yaml", "script.py"], ["missing.yaml"]),
    (["--plan", "other.yaml", "script.py"], ["other.yaml", "machine"]),
    (["--no-python", "missing"], ["missing", "PATH"]),
    (["--no-python", "./script.py"], ["script.py", "chmod +x"]),
    (["--no-python", "script.py"], ["PATH", "./script.py"]),
    (["--python", "/usr/bin", "script.py"], ["/usr/bin is a directory"]),
    (["script.py --its-own"], ["script.py --its-own, without quotes"]),
    (["--module", "--no-python", "x"], ["--module", "--no-python"]),
    (["--python", "/missing/python", "script.py"], ["/missing/python"]),
    (["--env", "NAME", "script.py"], ["NAME=VALUE"]),
    (["--log-dir", "script.py/logs", "script.py"], ["script.py/logs"]),
    (["--log-file-prefix", "a/b", "--log-dir", ".", "script.py"], ["--log-file-prefix", "a/b"]),
    (["--report", "script.py/report.json", "script.py"], ["script.py/report.json"]),
    (["--topology", "2s 2n 4c", "script.py"], ["--topology", "--dry-run"]),
    (["--enable-tcmalloc", "--enable-jemalloc", "script.py"], ["--enable-tcmalloc", "--enable-jemalloc"]),
    (["--on-failure", "restart:0", "script.py"], ["--on-failure", "restart:0", "restart:N"]),
    (["--warmup-calls", "2", "script.py"], ["--warmup-calls", "--count-calls"]),
    (["--count-calls", "--warmup-calls", "-1", "script.py"], ["--warmup-calls"]),
    (["--count-calls", "--no-python", "true"], ["--count-calls", "--throughput-regex"]),
    (["--count-calls", "--throughput-regex", "(?P<items>1)", "script.py"], ["--count-calls", "--throughput-regex"]),
    (["--nnodes", "2", "script.py"], ["--nnodes", "one host"]),
    (["--auto_ipex", "script.py"], ["--auto-ipex", "-m pip install 'ipexlaunch[ipex]'", "--python"]),
    (["--auto-ipex", "--dtype", "int4", "script.py"], ["int4", "fp32, bf16, fp16", "ipexlaunch bench"]),
    (["--auto-ipex", "--no-python", "true"], ["--auto-ipex", "--no-python"]),
    (["--dtype", "bfloat16", "script.py"], ["--dtype", "--auto-ipex"]),
    (["--force-dtype", "script.py"], ["--force-dtype", "--auto-ipex"]),
    (["--disable_ipex_graph_mode", "script.py"], ["--disable-ipex-graph-mode", "--auto-ipex"]),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_is_answered_in_one_line_and_nothing_is_started(
    script: Path, arguments: list[str], words: list[str]
) -> None:
    other = ipexlaunch("plan", "--topology", "4s 2n 7c 2t", "--format", "yaml", cwd=script.parent)
    (script.parent / "other.yaml").write_text(other.stdout)
    result = ipexlaunch(*arguments, cwd=script.parent)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert all(word in result.stderr for word in words), result.stderr
    assert not list(script.parent.glob("started-*"))


def test_an_empty_allowed_set_is_a_mistake_too(script: Path) -> None:
    result = ipexlaunch("--cores-list", "!all", str(script), cwd=script.parent)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


ODD_ARGUMENTS = [
    "two words", "it's", 'say "hi"', "$HOME", "`id`", "a\nb", "", "-h", "--help", "--ninstances", "--", "*", "\\",
    "ü€😀", "{", "{}", "{unknown}", ";echo INJECTED", "a=b", "\t",
]  # fmt: skip


@pytest.mark.parametrize("form", ["script", "module", "executable"])
def test_arguments_arrive_byte_for_byte(tmp_path: Path, form: str) -> None:
    text = "import json, os, sys\njson.dump(sys.argv[1:], open(os.environ['OUT'], 'w'))\n"
    (tmp_path / "echo.py").write_text(f"#!{sys.executable}\n{text}")
    (tmp_path / "echo.py").chmod(0o755)
    start = {"script": ["echo.py"], "module": ["-m", "echo"], "executable": ["--no-python", "./echo.py"]}[form]
    out = tmp_path / "out.json"
    result = ipexlaunch("--ninstances", "1", *start, *ODD_ARGUMENTS, cwd=tmp_path, OUT=str(out))
    assert result.returncode == 0, result.stderr
    assert json.loads(out.read_text()) == ODD_ARGUMENTS


def test_bytes_that_are_no_text_arrive_too(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text("import os, sys\nprint(os.fsencode(sys.argv[1]).hex())\n")
    odd = os.fsdecode(b"\xff\xfe\x80")
    result = ipexlaunch("--ninstances", "1", "echo.py", odd, cwd=tmp_path)
    assert result.stdout == "[0] fffe80\n"


@pytest.mark.skipif(shutil.which("numactl") is None, reason="numactl is not installed")
def test_the_dry_run_line_does_what_the_run_would_do(tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(
        "import os, sys\nprint(sys.argv[1:], sorted(os.sched_getaffinity(0)), os.environ['IPEXLAUNCH_INDEX'])\n"
    )
    (line,) = ipexlaunch("--ninstances", "1", "--dry-run", "show.py", *ODD_ARGUMENTS, cwd=tmp_path).stdout.split(
        "\nenv"
    )
    by_shell = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    by_us = ipexlaunch("--ninstances", "1", "show.py", *ODD_ARGUMENTS, cwd=tmp_path).stdout
    assert by_us == f"[0] {by_shell}"


def test_the_exit_code_is_that_of_the_first_failure(tmp_path: Path) -> None:
    (tmp_path / "fail.py").write_text("import sys; sys.exit(41)")
    assert ipexlaunch("--ninstances", "1", "fail.py", cwd=tmp_path).returncode == 41
    assert ipexlaunch("--ninstances", "1", "--log-dir", "logs", "fail.py", cwd=tmp_path).returncode == 41
    (tmp_path / "crash.py").write_text("import os; os.abort()")
    assert ipexlaunch("--ninstances", "1", "crash.py", cwd=tmp_path).returncode == 134


def test_a_report_is_written_even_when_the_run_failed(tmp_path: Path) -> None:
    (tmp_path / "fail.py").write_text("import sys; sys.exit(41)")
    ipexlaunch("--ninstances", "1", "--report", "r.json", "fail.py", cwd=tmp_path)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["valid"] is False
    assert report["exit_code"] == 41
    assert report["failures"][0]["message"] == "ended with exit code 41"


def test_an_invalid_run_is_exit_code_4(tmp_path: Path) -> None:
    (tmp_path / "stray.py").write_text("import os\nfrom ipexlaunch import worker\nworker.ready()\nos._exit(0)\n")
    result = ipexlaunch("--ninstances", "1", "stray.py", cwd=tmp_path)
    assert result.returncode == 4
    assert "INVALID: instance 0 was ready but never said that it finished" in result.stderr


def test_a_worker_that_leaves_its_slice_makes_the_run_invalid(tmp_path: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("needs two cpus to stray to the other one")
    (tmp_path / "stray.py").write_text(
        f"import os\nfrom ipexlaunch import worker\nos.sched_setaffinity(0, {cpus})\n"
        "worker.ready()\nworker.count()\nworker.finish()\n"
    )
    result = ipexlaunch("--cores-list", str(cpus[0]), "stray.py", cwd=tmp_path)
    assert result.returncode == 4
    assert f"may run on cpus {cpus[1]}" in result.stderr


def test_counting_calls_changes_nothing_for_a_program_without_torch(tmp_path: Path) -> None:
    (tmp_path / "fail.py").write_text("import sys\nprint(sys.argv[1:], sys.path[0])\nraise ValueError('mine')\n")
    for start in (["fail.py"], ["-m", "fail"]):
        alone = ipexlaunch("--ninstances", "1", *start, *ODD_ARGUMENTS, cwd=tmp_path)
        counted = ipexlaunch("--ninstances", "1", "--count-calls", *start, *ODD_ARGUMENTS, cwd=tmp_path)
        assert counted.returncode == alone.returncode == 1
        assert counted.stdout == alone.stdout
        ours = "[0] ipexlaunch: --count-calls counted nothing: no model (torch.nn.Module) was called in this process"
        assert ours in counted.stderr
        # Lines of the traceback that are indented; the table's row has its peak of memory, which is not the same twice.
        printed = [line for line in alone.stderr.splitlines() if line.startswith("[0]   ")]
        assert printed
        assert all(line in counted.stderr for line in printed)


def test_stdout_carries_only_what_the_workers_print(tmp_path: Path) -> None:
    (tmp_path / "both.py").write_text("import sys\nprint('out')\nprint('err', file=sys.stderr)\n")
    result = ipexlaunch("--ninstances", "1", "both.py", cwd=tmp_path)
    assert result.stdout == "[0] out\n"
    assert "[0] err" in result.stderr


def test_logs_are_kept_per_worker(tmp_path: Path) -> None:
    (tmp_path / "both.py").write_text("import sys\nprint('out')\nprint('err', file=sys.stderr)\n")
    ipexlaunch("--ninstances", "1", "--log-dir", "logs/new", "--log_file_prefix", "mine", "both.py", cwd=tmp_path)
    (log,) = (tmp_path / "logs/new").iterdir()
    assert log.name.startswith("mine_")
    assert sorted(log.read_text().splitlines()) == ["err", "out"]


def test_the_words_of_ipexrun_work(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print(1)")
    for words in (["cpu"], ["cpu", "--ninstances", "1"], ["--throughput_mode"], ["--multi-task-manager", "numactl"]):
        assert ipexlaunch(*words, "--dry-run", "a.py", cwd=tmp_path).returncode == 0
    taskset = ipexlaunch("--multi-task-manager", "taskset", "--dry-run", "a.py", cwd=tmp_path).stdout
    assert "numactl --physcpubind=" in taskset
    assert "--membind" not in taskset
    assert "numactl" not in ipexlaunch("--multi-task-manager", "none", "--dry-run", "a.py", cwd=tmp_path).stdout


def modules_after(*arguments: str, cwd: Path) -> set[str]:
    """Top-level modules that the launcher has imported when it ends."""
    code = (
        "import atexit, sys\nfrom ipexlaunch.cli.main import main\n"
        "code = main(sys.argv[1:])\nprint('MODULES', *sorted({m.partition('.')[0] for m in sys.modules}))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=cwd, timeout=120, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    return set(result.stdout.rpartition("MODULES ")[2].split())


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    assert not modules_after("--help", cwd=tmp_path) & set(HEAVY)


def test_a_run_imports_nothing_heavy_before_its_report(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("print(1)")
    assert not modules_after("--ninstances", "1", "--dry-run", "a.py", cwd=tmp_path) & set(HEAVY)
    assert not modules_after("--ninstances", "1", "a.py", cwd=tmp_path) & (set(HEAVY) - {"rich"})


def test_without_arguments_the_help_is_shown(tmp_path: Path) -> None:
    result = ipexlaunch(cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: ipexlaunch ")
