"""Containers: docker run lines with cpusets, and what Kubernetes can be asked for.

Source: docker-run(1); Kubernetes documentation, "Control CPU Management Policies on the Node" and "Topology Manager".
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ipexlaunch.cpulist import format_list
from ipexlaunch.errors import RequestError
from ipexlaunch.plan.exports.exported import (
    Exported,
    assignments,
    environment,
    headline,
    program_words,
    refuse_accelerators,
    usage_check,
)
from ipexlaunch.plan.instances import Instance, Plan


def docker_script(plan: Plan, program: Sequence[str]) -> tuple[Exported, ...]:
    """A script that starts one container for each instance; the program is the image, with its command.

    --cpuset-mems binds memory without CAP_SYS_NICE, which set_mempolicy would need inside the container.

    Raises:
        RequestError: the instances drive accelerators.
    """
    refuse_accelerators(plan, "docker")
    lines = ["#!/bin/sh", f"# {headline(plan)}", *usage_check(program, "IMAGE [COMMAND...]"), "set -e"]
    for instance in plan.chosen:
        lines.append(f"{shlex.join(_docker_words(plan, instance))} {program_words(program)}")
    return (Exported("run-containers.sh", "\n".join(lines) + "\n", executable=True),)


def _docker_words(plan: Plan, instance: Instance) -> list[str]:
    words = ["docker", "run", "--detach", "--name", f"ipexlaunch-{instance.index}"]
    words.append(f"--cpuset-cpus={format_list(instance.cpus)}")
    if instance.nodes and instance.memory not in ("none", "local"):
        words.append(f"--cpuset-mems={format_list(instance.nodes)}")
    for assignment in assignments(instance, len(plan.instances)):
        words += ["--env", assignment]
    return words


NOTE = """\
# {headline}
#
# Kubernetes gives no pod the cpus that somebody names; the kubelet chooses them. This asks for instances of the same
# size and lets the kubelet keep each on one node of the machine, with whole cores. In the kubelet's configuration:
#
#   cpuManagerPolicy: static
#   cpuManagerPolicyOptions: {{full-pcpus-only: "true"}}
#   topologyManagerPolicy: single-numa-node
#   memoryManagerPolicy: Static      # binds memory too; it needs reservedMemory
#
# The static policy applies where requests equal limits, cpus are whole numbers and memory is asked for too
# (--memory-per-instance writes it here). The size counts cpus, not cores: where a core has several siblings,
# full-pcpus-only refuses what is no multiple of them.
# The plan, for comparison:
{rows}
"""


def kubernetes_manifest(plan: Plan, program: Sequence[str]) -> tuple[Exported, ...]:
    """A StatefulSet with as many pods as instances, and a note on what the kubelet must be told.

    Args:
        plan: instances of one size.
        program: the image, with its command; empty leaves IMAGE to be filled in.

    Raises:
        RequestError: the instances are unequal, or drive accelerators.
    """
    refuse_accelerators(plan, "Kubernetes")
    sizes = {len(instance.cpus) for instance in plan.chosen}
    if len(sizes) > 1:
        what = f"instances have {min(sizes)} to {max(sizes)} cpus, and the pods of a StatefulSet are alike"
        raise RequestError("export to Kubernetes", what, "export equal instances")
    image, command = (program[0], list(program[1:])) if program else ("IMAGE", [])
    rows = "\n".join(
        f"#   {i.index}: cpus {format_list(i.cpus)}, memory of nodes {format_list(i.nodes)}" for i in plan.chosen
    )
    common = environment(plan.chosen[0], len(plan.instances))
    variables = [
        f'            - {{name: {name}, value: "{common[name]}"}}' for name in ("OMP_NUM_THREADS", "IPEXLAUNCH_COUNT")
    ]
    words = [f"          command: [{', '.join(_quoted(word) for word in command)}]"] if command else []
    size = sizes.pop()
    each = plan.request.memory_per_instance_bytes
    memory = "" if each is None else f', memory: "{each}"'
    lines = [
        "apiVersion: apps/v1",
        "kind: StatefulSet",
        "metadata: {name: ipexlaunch}",
        "spec:",
        f"  replicas: {len(plan.chosen)}",
        "  serviceName: ipexlaunch",
        "  podManagementPolicy: Parallel",
        "  selector: {matchLabels: {app: ipexlaunch}}",
        "  template:",
        "    metadata: {labels: {app: ipexlaunch}}",
        "    spec:",
        "      containers:",
        "        - name: instance",
        f"          image: {_quoted(image)}",
        *words,
        "          env:",
        *variables,
        "            - name: IPEXLAUNCH_INDEX",
        "              valueFrom: {fieldRef: {fieldPath: \"metadata.labels['apps.kubernetes.io/pod-index']\"}}",
        "          resources:",
        f"            requests: {{cpu: {size}{memory}}}",
        f"            limits: {{cpu: {size}{memory}}}",
    ]
    text = NOTE.format(headline=headline(plan), rows=rows) + "\n".join(lines) + "\n"
    return (Exported("ipexlaunch.yaml", text),)


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
