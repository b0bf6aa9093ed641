"""The Job for Kubernetes: what its schemas say of it, and what the kubelet makes of its words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipexlaunch.errors import RequestError
from ipexlaunch.plan import Plan, Request, make_plan
from ipexlaunch.plan.export_kubernetes import LAUNCHER_BYTES, kubernetes_manifest
from ipexlaunch.plan.own_launch import OwnLaunch
from tests.plan.kubernetes_schemas import check_manifest
from tests.plan.machines import machine

PLAN = make_plan(machine([8, 8], threads=2), Request(ninstances=4, memory_per_instance_bytes=1 << 34))


def manifest_of(*program: str, plan: Plan = PLAN, **variables: str) -> str:
    launch = OwnLaunch(options=("--ninstances=4",), program=program, variables=variables, cpus=32)
    (file,) = kubernetes_manifest(plan, launch)
    return file.text


def container_of(text: str) -> dict[str, Any]:
    (container,) = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


@pytest.mark.process
@pytest.mark.parametrize("program", [
    (), ("image", "s.py", "a: b", "- c", "no", "1"), ("image", "batch", "--resume", "--input", "i", "s.py"),
])  # fmt: skip
def test_the_schemas_of_kubernetes_take_it(program: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(manifest_of(*program, OUT="a\nb"))
    check_manifest(tmp_path / "job.yaml")


def test_the_pod_is_guaranteed_cpus_of_its_own() -> None:
    size = container_of(manifest_of("image", "s.py"))["resources"]
    assert size["requests"] == size["limits"] == {"cpu": "32", "memory": str(4 * (1 << 34) + LAUNCHER_BYTES)}


def test_without_memory_the_cpu_manager_would_give_none() -> None:
    with pytest.raises(RequestError, match="--memory-per-instance is missing"):
        manifest_of("image", "s.py", plan=make_plan(machine([8]), Request()))
    with pytest.raises(RequestError, match="no program"):
        manifest_of("image")


def kubelet(text: str, variables: dict[str, str]) -> str:
    """What the kubelet makes of a word (third_party/forked/golang/expansion/expand.go)."""
    return re.sub(r"\$(?:(\$)|\((\w+)\))", lambda match: match[1] or variables[match[2]], text)


def test_ipexlaunch_is_given_every_word_as_it_is() -> None:
    words = ("s.py", "r-{index}-{count}", "$(HOME) $$ $HOME", "{{index}}", 'é\x85"\\', "")
    given = container_of(manifest_of("image", *words, OUT="$(HOME)-{index}"))["command"]
    ours = ["ipexlaunch", "run", "--ninstances=4", "--env=OUT=$(HOME)-{index}"]
    assert [kubelet(word, {}) for word in given] == [*ours, *words]


def test_a_batch_job_drains_when_its_pod_is_moved_and_tries_again_for_nothing() -> None:
    job = yaml.safe_load(manifest_of("image", "batch", "--resume", "--input", "i", "--output", "o", "s.py"))["spec"]
    assert "--drain-on-term" in job["template"]["spec"]["containers"][0]["command"]
    rules = {tuple(each["onExitCodes"]["values"]): each["action"] for each in job["podFailurePolicy"]["rules"]
             if "onExitCodes" in each}  # fmt: skip
    assert rules == {(75,): "Ignore", (2,): "FailJob"}
    assert "podFailurePolicy" not in manifest_of("image", "batch", "--input", "i", "--output", "o", "s.py")


def test_what_spans_nodes_is_told_to_the_kubelet() -> None:
    assert "distribute-cpus-across-numa" in manifest_of("image", "s.py")
    one = make_plan(machine([8]), Request(ninstances=2, memory_per_instance_bytes=1 << 30))
    assert "topologyManagerPolicy: single-numa-node" in manifest_of("image", "s.py", plan=one)
