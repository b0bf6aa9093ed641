"""Run directories: a run from long ago reads today, a run of today can be repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ipexlaunch.errors import DocumentError, LaunchError
from ipexlaunch.launch.job import Job
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.measure.report import aggregate
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.report.kept_runs.describe_host import kept_variables, read_host
from ipexlaunch.report.kept_runs.open_runs import read_run_directory
from ipexlaunch.report.kept_runs.run_directory import make_run_directory
from ipexlaunch.report.kept_runs.run_documents import (
    MappedLibraries,
    RunCommand,
    libraries_in,
    read_run_command,
    write_run_command,
)

OLD = Path(__file__).parent / "version-1"
ROOT = Path(__file__).parents[3]

SCRIPT = """\
import json, os, sys
from ipexlaunch import worker
worker.ready()
worker.count(items=3, latency_s=0.5)
worker.finish()
print(json.dumps([sys.argv[1:], os.environ["A"], worker.index]))
"""


def ipexlaunch(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ipexlaunch", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )


def test_a_run_of_version_1_is_read() -> None:
    kept = read_run_directory(str(OLD))
    assert kept.recorded.job.arguments == ("30",)
    assert kept.recorded.job.environment == {"A": "b"}
    assert kept.recorded.options["local_pages"] == 0.95
    assert kept.plan.topology == kept.topology.fingerprint
    assert kept.environment["python"]["packages"]["torch"] == "2.8.0"
    assert kept.environment["workers"][1]["libraries"][0].endswith("libm.so.6")
    assert kept.run is not None
    assert kept.report is not None
    assert (kept.run.serving, kept.report.service) == (False, None)  # nothing served yet
    again = aggregate(kept.run, kept.report.provenance)
    assert replace(again.throughput, start=None) == kept.report.throughput  # which said nothing of its start
    assert again.latency_ms == kept.report.latency_ms
    assert [i.rate for i in again.instances] == [i.rate for i in kept.report.instances]
    assert [i.phases_s for i in again.instances] == [i.phases_s for i in kept.report.instances]
    assert (again.valid, again.warnings) == (kept.report.valid, kept.report.warnings)


RECORDED = RunCommand(
    command="run",
    directory="/home/user",
    job=Job(program="a b.py", arguments=("-x", "it's: {index}"), kind="module", environment={"A": "1"}),
    options={"grace": 1.5, "throughput_regex": r"(?P<items>\d+)", "strict": True},
    written="2026-01-01T00:00:00Z",
    ipexlaunch="1.0",
)


def test_the_command_is_read_back_as_it_was() -> None:
    assert read_run_command(write_run_command(RECORDED), "run.yaml") == RECORDED


def test_every_field_of_a_job_is_kept() -> None:
    job = Job(
        program="p", arguments=("a",), kind="executable", python="/py", environment={"A": "1"},
        libraries={"iomp5": "/lib/x.so"}, benchmark=True, runner=("-m", "x"), first_port=1, module_path="/somewhere",
        fix_pinning=True,
    )  # fmt: skip
    recorded = RunCommand(command="bench", directory="/", job=job)
    back = read_run_command(write_run_command(recorded), "run.yaml").job
    assert {name: getattr(back, name) for name in job.__dataclass_fields__} == {
        **{name: getattr(job, name) for name in job.__dataclass_fields__},
        "module_path": "",
    }


def test_an_unknown_key_is_refused_with_its_line() -> None:
    text = write_run_command(RECORDED).replace("environment:", "enviroment:")
    with pytest.raises(DocumentError, match=r"line \d+, job.*unknown key 'enviroment'; did you mean 'environment'"):
        read_run_command(text, "run.yaml")


def test_a_directory_holds_one_run_and_one_that_did_not_end_is_read_too(tmp_path: Path) -> None:
    topology = synthetic_machine("1s 1n 2c 1t")
    plan = make_plan(topology, Request(ninstances=2))
    path = str(tmp_path / "deep" / "kept")
    make_run_directory(path, RECORDED, plan, topology)
    kept = read_run_directory(path)
    assert (kept.plan, kept.topology.fingerprint) == (plan, topology.fingerprint)
    assert (kept.run, kept.report, dict(kept.environment)) == (None, None, {})
    with pytest.raises(LaunchError, match="holds a run already, which did not finish; name a new directory"):
        make_run_directory(path, RECORDED, plan, topology)


def test_what_holds_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"there is no run.yaml in it; name a directory that --run-dir has made"):
        read_run_directory(str(tmp_path))
    with pytest.raises(DocumentError, match="no such directory"):
        read_run_directory(str(tmp_path / "missing"))


MAPS = """\
55d0-55d1 r--p 00000000 fe:01 123                        /usr/bin/python3.11
7f00-7f01 r-xp 00000000 fe:01 124                        /usr/lib/libgomp.so.1.0.0
7f01-7f02 rw-p 00000000 fe:01 124                        /usr/lib/libgomp.so.1.0.0
7f02-7f03 rw-p 00000000 00:00 0
7f03-7f04 r-xp 00000000 fe:01 125                        /opt/a b/torch.cpython-311-x86_64-linux-gnu.so (deleted)
7f04-7f05 r-xp 00000000 00:00 0                          [vdso]
"""


def test_libraries_are_those_of_the_memory_map(tmp_path: Path) -> None:
    gomp, torch = "/usr/lib/libgomp.so.1.0.0", "/opt/a b/torch.cpython-311-x86_64-linux-gnu.so (deleted)"
    assert libraries_in(MAPS) == (gomp, torch)
    (tmp_path / "7").mkdir()
    (tmp_path / "7/maps").write_text(MAPS)
    libraries = MappedLibraries(str(tmp_path))
    libraries.on_looked(7, waits=True)
    (tmp_path / "7/maps").unlink()
    libraries.on_looked(7, waits=True)
    libraries.on_looked(8, waits=True)
    assert libraries.by_pid == {7: (gomp, torch)}


def test_variables_that_may_be_secrets_are_not_kept() -> None:
    kept = kept_variables({"OMP_NUM_THREADS": "4", "HF_TOKEN": "x", "AWS_SECRET": "x", "HOME": "/", "LD_PRELOAD": "a"})
    assert kept == {"LD_PRELOAD": "a", "OMP_NUM_THREADS": "4"}


def test_the_host_is_read_from_its_files(tmp_path: Path) -> None:
    for path, text in {
        "proc/cpuinfo": "processor\t: 0\nmicrocode\t: 0x2b0004d0\n",
        "sys/devices/system/cpu/smt/active": "1\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "performance\n",
        "sys/devices/system/cpu/cpufreq/policy1/scaling_governor": "powersave\n",
        "sys/devices/system/cpu/cpufreq/policy2/scaling_governor": "performance\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = read_host(synthetic_machine("1s 1n 2c 1t"), None, {}, str(tmp_path))
    assert (found["microcode"], found["smt"]) == ("0x2b0004d0", "1")
    assert found["transparent_huge_pages"] == "always [madvise] never"
    assert found["governors"] == {"performance": 2, "powersave": 1}
    assert (found["boost"], found["memory_limit_bytes"], found["python"]) == (None, None, None)


@pytest.mark.process
def test_a_run_is_kept_and_repeated(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    words = ["--ninstances", "1", "--run-dir", "kept", "--env", "A=b", "--grace", "7", "script.py", "-h", "two words"]
    first = ipexlaunch(*words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout == '[0] [["-h", "two words"], "b", 0]\n'
    kept = read_run_directory(str(tmp_path / "kept"))
    assert kept.run is not None
    assert kept.report is not None
    assert replace(aggregate(kept.run, kept.report.provenance), host=kept.recorded.host) == kept.report
    assert any("libc.so" in path for path in kept.environment["workers"][0]["libraries"])
    assert [log.read_text() for log in (tmp_path / "kept/logs").iterdir()] == [first.stdout.removeprefix("[0] ")]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    second = ipexlaunch("run", "--replay", "../kept", "--run-dir", "again", "--timeout", "50", cwd=elsewhere)
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout
    again = read_run_directory(str(elsewhere / "again"))
    assert (again.plan, again.recorded.job) == (kept.plan, kept.recorded.job)
    assert again.recorded.options == {**kept.recorded.options, "timeout": 50.0}


@pytest.mark.process
def test_what_cannot_be_repeated_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    words = ("--ninstances", "1", "--run-dir", "kept", "--env", "A=b", "script.py")
    assert ipexlaunch(*words, cwd=tmp_path).returncode == 0
    plan = tmp_path / "kept/plan.yaml"
    mine = plan.read_text()
    other = mine.replace(read_run_directory(str(tmp_path / "kept")).plan.topology, "0123456789abcdef")
    for wrong, told in {
        ("run", "--replay", "kept", "--ninstances", "1"): "--ninstances",
        ("run", "--replay", "kept", "script.py"): "leave out 'script.py'",
        ("run", "--replay", "kept", "--env", "A=c"): "--replay and --env exclude each other",
        ("run", "--replay", "missing"): "no such directory",
        ("--ninstances", "1", "--run-dir", "kept", "script.py"): "holds one already",
    }.items():
        result = ipexlaunch(*wrong, cwd=tmp_path)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert told in result.stderr
    plan.write_text(other)
    refused = ipexlaunch("run", "--replay", "kept", cwd=tmp_path)
    assert refused.returncode == 2
    assert "made for machine 0123456789abcdef" in refused.stderr
    assert ipexlaunch("run", "--replay", "kept", "--any-machine", cwd=tmp_path).returncode == 0
    (tmp_path / "script.py").unlink()
    plan.write_text(mine)
    assert "there is no script.py any more" in ipexlaunch("run", "--replay", "kept", cwd=tmp_path).stderr


@pytest.mark.process
def test_a_built_in_worker_of_an_older_run_is_the_one_of_now(tmp_path: Path) -> None:
    words = ("--ninstances", "1", "--run-dir", "kept", "-m", "ipexlaunch.models.run_model", "no job")
    assert "run_model: cannot read the model job" in ipexlaunch(*words, cwd=tmp_path).stderr
    recorded = tmp_path / "kept/run.yaml"
    recorded.write_text(recorded.read_text().replace("ipexlaunch.models.", "ipexlaunch.workers."))
    repeated = ipexlaunch("run", "--replay", "kept", cwd=tmp_path)
    assert "run_model: cannot read the model job" in repeated.stderr


def test_the_kept_run_of_version_1_is_json_that_others_read() -> None:
    lines = (OLD / "events.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert len(rows) == 24
    assert rows[0]["schema"] == "ipexlaunch/events/1"
    assert {"begin", "start", "go", "end", "counts"} <= {row["event"] for row in rows[1:]}
