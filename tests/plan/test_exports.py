"""Exports, each read by the tool that it is for, where that tool is here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ipexlaunch.cli import plan_command
from ipexlaunch.cpulist import format_list, parse_list
from ipexlaunch.errors import RequestError
from ipexlaunch.plan import Plan, Request, make_plan
from ipexlaunch.plan.exports import EXPORTS, export_plan
from ipexlaunch.plan.numactl import numactl_lines, numactl_words
from ipexlaunch.probe.machine import probe
from tests.plan.machines import machine
from tests.plan.slurm import cluster

PLAN = make_plan(machine([8, 8], threads=2), Request(ninstances=4))
TOKENS = ["/usr/bin/env", "python3", "a b.py", "--x=$HOME", 'quo"te', "100%", "it's", ""]


def text_of(kind: str, plan: Plan = PLAN, program: list[str] | None = None) -> str:
    (file,) = export_plan(kind, plan, program or [])
    return file.text


def test_the_command_offers_every_export() -> None:
    assert plan_command.EXPORTS == EXPORTS


@pytest.mark.parametrize("kind", ["numactl", "run_cpu", "slurm", "docker"])
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
    words = [*numactl_words(plan.instances[0]), "true"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "not permitted" in done.stderr, done.stderr


def test_lines_for_a_machine_without_nodes_use_taskset() -> None:
    from ipexlaunch.probe.sources import open_topology

    plan = make_plan(open_topology("arm-1s-4c-1t-no-nodes"), Request(ninstances=2))
    assert numactl_lines(plan) == ["env OMP_NUM_THREADS=2 taskset -c 0-1", "env OMP_NUM_THREADS=2 taskset -c 2-3"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("policy", ["bind", "preferred", "interleave", "local", "none", "weighted-interleave"])
def test_systemd_accepts_the_units(policy: str, tmp_path: Path) -> None:
    plan = make_plan(machine([8, 8]), Request(ninstances=2, memory_policy=policy))  # type: ignore[arg-type]
    files = export_plan("systemd", plan, TOKENS)
    assert [file.name for file in files] == [
        "ipexlaunch.target", "ipexlaunch.slice", "ipexlaunch-0.service", "ipexlaunch-1.service",
    ]  # fmt: skip
    for file in files:
        (tmp_path / file.name).write_text(file.text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / file.name) for file in files)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "ipexlaunch" in line]
    assert not ours, done.stderr
    assert done.returncode == 0, done.stderr


def test_systemd_units_name_cpus_and_nodes() -> None:
    texts = {file.name: file.text for file in export_plan("systemd", PLAN, ["/bin/true"])}
    assert "AllowedCPUs=4-7\n" in texts["ipexlaunch-1.service"]
    assert "NUMAPolicy=bind\nNUMAMask=0\n" in texts["ipexlaunch-1.service"]
    assert "AllowedCPUs=0-15\n" in texts["ipexlaunch.slice"]


@pytest.mark.parametrize("program", [[], ["python3"]])
def test_systemd_needs_a_whole_path(program: list[str]) -> None:
    with pytest.raises(RequestError, match="whole path"):
        export_plan("systemd", PLAN, program)


def test_slurm_masks_are_the_cpus() -> None:
    text = text_of("slurm")
    (line,) = [line for line in text.splitlines() if "--cpu-bind=mask_cpu:" in line]
    masks = line.split(":", 1)[1].split()[0].split(",")
    cpus = [frozenset(bit for bit in range(64) if int(mask, 16) >> bit & 1) for mask in masks]
    assert cpus == [instance.cpus for instance in PLAN.instances]
    assert "--mem-bind=mask_mem:0x1,0x1,0x2,0x2" in text


@pytest.mark.slurm
@pytest.mark.process
def test_slurm_takes_the_script_and_runs_it_as_planned(tmp_path: Path) -> None:
    topology = probe("/")
    plan = make_plan(topology, Request(ninstances=min(2, len(topology.allowed_cpus))))
    path = tmp_path / "run.sbatch"
    path.write_text(text_of("slurm", plan, [sys.executable, "-c", PRINT_PLACE, "0", "a b"]))
    (tmp_path / "slurm").mkdir()
    with cluster(tmp_path / "slurm") as environment:
        words = ["sbatch", "--wait", "--chdir", str(tmp_path), "--output", str(tmp_path / "out"), str(path)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    told = sorted((tmp_path / "out").read_text().splitlines())
    assert done.returncode == 0, done.stderr + "\n".join(told)
    assert told == [
        f"{i.index}: {i.index} {len(plan.instances)} {i.threads} {','.join(map(str, sorted(i.cpus)))} ['0', 'a b']"
        for i in plan.instances
    ]


@pytest.mark.process
def test_the_task_of_each_slurm_process_sets_its_environment(tmp_path: Path) -> None:
    (tmp_path / "srun").write_text(  # stands for srun: starts every task, as it would
        '#!/bin/bash\nwhile [ "$1" != bash ]; do shift; done\nfor p in 0 1 2 3; do SLURM_PROCID=$p "$@"; done\n'
    )
    (tmp_path / "srun").chmod(0o755)
    script = tmp_path / "run.sbatch"
    script.write_text(text_of("slurm"))
    done = subprocess.run(
        [
            "bash",
            str(script),
            "sh",
            "-c",
            'echo "$IPEXLAUNCH_INDEX $IPEXLAUNCH_CPUS $OMP_NUM_THREADS [$1]"',
            "sh",
            "a b",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert done.stdout.splitlines() == [f"{i.index} {format_list(i.cpus)} 4 [a b]" for i in PLAN.instances]


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")
def test_docker_knows_the_options() -> None:
    known = subprocess.run(["docker", "run", "--help"], capture_output=True, text=True, check=True).stdout
    used = {word.partition("=")[0] for word in text_of("docker").split() if word.startswith("--")}
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


def test_the_kubernetes_manifest_asks_for_instances_of_this_size() -> None:
    plan = make_plan(machine([8, 8]), Request(ninstances=4, memory_per_instance_bytes=1 << 34))
    manifest = yaml.safe_load(text_of("kubernetes", plan, ["registry/image:1", "python", 'a "b"']))
    assert manifest["spec"]["replicas"] == 4
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"] == container["resources"]["limits"] == {"cpu": 4, "memory": str(1 << 34)}
    assert container["command"] == ["python", 'a "b"']


def test_kubernetes_cannot_have_unequal_instances() -> None:
    plan = make_plan(machine([8, 8]), Request(ninstances=3, greedy=True))
    with pytest.raises(RequestError, match="4 to 8 cpus"):
        export_plan("kubernetes", plan, [])


def test_run_cpu_gets_a_list_without_ranges() -> None:
    line = next(line for line in text_of("run_cpu").splitlines() if "run_cpu" in line)
    words = line.split()
    cpus = words[words.index("--core-list") + 1]
    assert "-" not in cpus
    assert parse_list(cpus) == PLAN.instances[0].cpus
    assert "--membind=0" in words


def test_only_the_chosen_instances_are_exported() -> None:
    plan = make_plan(machine([8, 8]), Request(ninstances=4, instance_idx="1-2"))
    assert len([line for line in text_of("numactl", plan).splitlines() if line.startswith("env ")]) == 2
