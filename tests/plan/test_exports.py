"""Exports, each read by the tool that it is for, where that tool is here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.cli import plan_command
from ipexlaunch.errors import RequestError
from ipexlaunch.machine.probe.read_machine import probe
from ipexlaunch.plan import Plan, Request, make_plan
from ipexlaunch.plan.export_plan import EXPORTS, Workload, export_plan
from ipexlaunch.plan.export_scripts import ExportFile, numactl_argv, numactl_lines
from ipexlaunch.plan.own_launch import OwnLaunch
from tests.plan.machines import machine

PLAN = make_plan(machine([8, 8], threads=2), Request(ninstances=4))
TOKENS = ["/usr/bin/env", "python3", "a b.py", "--x=$HOME", 'quo"te', "100%", "it's", ""]


def text_of(kind: str, plan: Plan = PLAN, program: list[str] | None = None, **variables: str) -> str:
    (file,) = export_plan(kind, plan, Workload(program=tuple(program or ()), variables=variables), OwnLaunch())
    return file.text


def test_the_command_offers_every_export() -> None:
    assert plan_command.EXPORTS == EXPORTS


@pytest.mark.parametrize("kind", ["numactl", "docker"])
@pytest.mark.parametrize("program", [[], TOKENS])
def test_scripts_are_valid_shell(kind: str, program: list[str], tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text(text_of(kind, program=program))
    subprocess.run(["bash", "-n", path], check=True)
    empty = subprocess.run(["bash", path], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, check=False)
    assert program or (empty.returncode == 2 and "usage:" in empty.stderr)


# One write for the line: print() writes word by word where PYTHONUNBUFFERED is set, and two workers share the pipe.
PRINT_PLACE = (
    "import os,sys; e=os.environ; cpus=','.join(map(str, sorted(os.sched_getaffinity(0)))); "
    "os.write(1, f\"{e['IPEXLAUNCH_INDEX']} {e['IPEXLAUNCH_COUNT']} {e['OMP_NUM_THREADS']} {cpus} {sys.argv[1:]}\\n\""
    ".encode()); sys.exit(int(sys.argv[1]))"
)


@pytest.mark.process
@pytest.mark.skipif(shutil.which("numactl") is None, reason="numactl is not installed")
@pytest.mark.parametrize("code", [0, 7])
def test_the_numactl_script_really_binds_on_this_host(tmp_path: Path, code: int) -> None:
    topology = probe("/")
    plan = make_plan(topology, Request(ninstances=min(2, len(topology.allowed_cpus))))
    path = tmp_path / "run.sh"
    path.write_text(text_of("numactl", plan))
    arguments = [str(code), "a b", "$HOME", "*"]
    done = subprocess.run(
        ["sh", str(path), sys.executable, "-c", PRINT_PLACE, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    told = sorted(done.stdout.splitlines())
    assert told == [
        f"{i.index} {len(plan.instances)} {i.threads} {','.join(map(str, sorted(i.cpus)))} {arguments}"
        for i in plan.instances
    ]


@pytest.mark.skipif(shutil.which("numactl") is None, reason="numactl is not installed")
@pytest.mark.parametrize("policy", ["bind", "preferred", "interleave", "local", "none", "preferred-many"])
def test_numactl_takes_the_words_of_every_policy(policy: str) -> None:
    topology = probe("/")
    plan = make_plan(topology, Request(ninstances=1, memory_policy=policy))  # type: ignore[arg-type]
    words = [*numactl_argv(plan.instances[0]), "true"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "not permitted" in done.stderr, done.stderr


def test_lines_for_a_machine_without_nodes_use_taskset() -> None:
    from ipexlaunch.machine.probe.read_machine import open_topology

    plan = make_plan(open_topology("arm-1s-4c-1t-no-nodes"), Request(ninstances=2))
    assert numactl_lines(plan) == ["env OMP_NUM_THREADS=2 taskset -c 0-1", "env OMP_NUM_THREADS=2 taskset -c 2-3"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("policy", ["bind", "preferred", "interleave", "local", "none", "weighted-interleave"])
def test_systemd_accepts_the_units(policy: str, tmp_path: Path) -> None:
    plan = make_plan(machine([8, 8]), Request(ninstances=2, memory_policy=policy))  # type: ignore[arg-type]
    files = export_plan("systemd", plan, Workload(program=tuple(TOKENS)), OwnLaunch())
    assert [file.name for file in files] == [
        "ipexlaunch.target", "ipexlaunch.slice", "ipexlaunch-0.service", "ipexlaunch-1.service",
    ]  # fmt: skip
    assert complaints_of_systemd(tmp_path, files) == ""


def complaints_of_systemd(folder: Path, files: Sequence[ExportFile]) -> str:
    """What systemd says against the units; "" for nothing."""
    paths = [folder / file.name for file in files]
    for path, file in zip(paths, files, strict=True):
        path.write_text(file.text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"},
    )
    ours = [line for line in done.stderr.splitlines() if str(folder) in line or "ipexlaunch" in line]
    return done.stderr if ours or done.returncode else ""


def test_systemd_units_name_cpus_and_nodes() -> None:
    texts = {
        file.name: file.text for file in export_plan("systemd", PLAN, Workload(program=("/bin/true",)), OwnLaunch())
    }
    assert "AllowedCPUs=4-7\n" in texts["ipexlaunch-1.service"]
    assert "NUMAPolicy=bind\nNUMAMask=0\n" in texts["ipexlaunch-1.service"]
    assert "AllowedCPUs=0-15\n" in texts["ipexlaunch.slice"]


SERVE = ("serve", "--preset", "llama-server", "--endpoint", "127.0.0.1:8000", "/bin/sh", *TOKENS[2:], "a;b", "{port}")


def service_of(*program: str, **words: Any) -> ExportFile:
    launch = OwnLaunch(launcher=("/bin/sh",), options=("--ninstances=4",), program=program, **words)
    (file,) = export_plan("systemd", PLAN, Workload(program=program), launch)
    return file


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_service_of_servers(tmp_path: Path) -> None:
    file = service_of(*SERVE)
    assert file.name == "ipexlaunch-serve.service"
    assert complaints_of_systemd(tmp_path, [file]) == ""
    # The same test on units with a mistake, so that it is known to see one.
    wrong = [
        file.text.replace("WatchdogSec=60", "WatchdogSec=soon"),
        file.text.replace("OOMPolicy", "OOMPolitics"),
        file.text.replace("ExecStart=/bin/sh", "ExecStart=/no/such/program"),
    ]
    for text in wrong:
        assert complaints_of_systemd(tmp_path, [replace(file, text=text)]) != ""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_service_of_servers_is_not_left_open(tmp_path: Path) -> None:
    file = service_of(*SERVE)
    (tmp_path / file.name).write_text(file.text)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=40", str(tmp_path / file.name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_service_of_servers_passes_their_words_on() -> None:
    text = service_of(*SERVE, variables={"A": "1 %"}, first_port=8001).text
    line = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    assert line == (
        'ExecStart=/bin/sh serve --ninstances=4 "--env=A=1 %%" --port=8001 --preset llama-server '
        '--endpoint 127.0.0.1:8000 /bin/sh "a b.py" --x=$$HOME "quo\\"te" 100%% "it\'s" "" "a;b" {port}'
    )
    assert "Description=Servers in 4 slots" in text
    assert "--no-python /bin/server" in service_of("serve", "/bin/server").text


@pytest.mark.parametrize(
    ("words", "seconds"),
    [((), 60), (("--drain-timeout", "90"), 121), (("--drain-timeout=2.5",), 33), (("--drain-timeout",), 60)],
)
def test_systemd_waits_longer_than_the_drain(words: tuple[str, ...], seconds: int) -> None:
    assert f"\nTimeoutStopSec={seconds}\n" in service_of("serve", *words, "s.py").text


def test_a_service_of_servers_needs_a_program() -> None:
    with pytest.raises(RequestError, match="nothing is said of what to serve"):
        service_of("serve")


@pytest.mark.parametrize("program", [[], ["python3"]])
def test_systemd_needs_a_whole_path(program: list[str]) -> None:
    with pytest.raises(RequestError, match="whole path"):
        export_plan("systemd", PLAN, Workload(program=tuple(program)), OwnLaunch())


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")
def test_docker_knows_the_options() -> None:
    known = subprocess.run(["docker", "run", "--help"], capture_output=True, text=True, check=True).stdout
    used = {word.partition("=")[0] for word in text_of("docker", program=["image"]).split() if word.startswith("--")}
    assert used == {"--detach", "--name", "--cpuset-cpus", "--cpuset-mems", "--env"}
    assert all(option in known for option in used)


@pytest.mark.process
def test_docker_lines_give_each_container_its_cpuset(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text('#!/bin/sh\necho "$@"\n')  # stands for docker: shows what it was given
    (tmp_path / "docker").chmod(0o755)
    script = tmp_path / "run.sh"
    script.write_text(text_of("docker"))
    done = subprocess.run(
        ["sh", str(script), "image", "command"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert "--cpuset-cpus=12-15 --cpuset-mems=1" in lines[3]
    assert lines[3].endswith("image command")


def test_only_the_chosen_instances_are_exported() -> None:
    plan = make_plan(machine([8, 8]), Request(ninstances=4, instance_idx="1-2"))
    assert len([line for line in text_of("numactl", plan).splitlines() if line.startswith("exec env ")]) == 2


NAMED = [
    "--out=r-{index}-{count}.json",
    "{{index}}",
    "{{{index}}}",
    "{x}",
    "a b\n",
    "$HOME $(id) `id`",
    "{threads}{",
    "",
]
"""As `ipexlaunch run` fills them in for instance 3 of 4."""
FILLED = ["--out=r-3-4.json", "{index}", "{{index}}", "{x}", "a b\n", "$HOME $(id) `id`", "4{", ""]


@pytest.mark.process
@pytest.mark.parametrize("written", [True, False], ids=["written", "by the caller"])
@pytest.mark.parametrize(("kind", "tool"), [("numactl", "numactl"), ("docker", "docker")])
def test_every_instance_has_its_own_words_and_variables(kind: str, tool: str, written: bool, tmp_path: Path) -> None:
    # Stands for the tool: shows the words that it is to start, and numactl's options go.
    show = f"{sys.executable} -c 'import os, sys; print(repr((os.environ.get(\"OUT\"), sys.argv[1:])))'"
    find = 'for word do [ "$word" = SHOW ] && break; case "$word" in OUT=*) export "$word" ;; esac; shift; done'
    text = f'{find}\nshift\n{show} "$@"\n'
    (tmp_path / tool).write_text(f"#!/bin/bash\n{text}")
    (tmp_path / "SHOW").write_text(f'#!/bin/sh\n{show} "$@"\n')
    for name in (tool, "SHOW"):
        (tmp_path / name).chmod(0o755)
    program = ["SHOW", *NAMED]
    script = tmp_path / "script"
    script.write_text(text_of(kind, program=program if written else None, OUT="o '{index}' $HOME %i"))
    done = subprocess.run(
        ["bash", str(script), *([] if written else program)],
        capture_output=True, text=True, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )  # fmt: skip
    assert sorted(done.stdout.splitlines())[3] == repr(("o '3' $HOME %i", FILLED))


def test_systemd_units_have_their_own_words_and_variables() -> None:
    work = Workload(
        program=("/bin/echo", "r-{index}", "100% $HOME"), variables={"OUT": 'o-{index} 5% $x "q"'}, first_port=7000
    )
    texts = {file.name: file.text for file in export_plan("systemd", PLAN, work, OwnLaunch())}
    assert 'ExecStart=/bin/echo r-2 "100%% $$HOME"\n' in texts["ipexlaunch-2.service"]
    assert 'Environment="OUT=o-2 5%% $x \\"q\\""\n' in texts["ipexlaunch-2.service"]
