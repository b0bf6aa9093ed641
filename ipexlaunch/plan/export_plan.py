"""systemd units: a target, a slice that holds the plan's cpus, and one service for each instance.

Source: systemd.exec(5) for NUMAPolicy, NUMAMask and CPUAffinity; systemd.resource-control(5) for AllowedCPUs.

Containers: docker run lines with cpusets, and what Kubernetes can be asked for.

Source: docker-run(1); Kubernetes documentation, "Control CPU Management Policies on the Node" and "Topology Manager".

A plan in the words of other tools, for hosts where ipexlaunch itself is not to run the workers.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable

from ipexlaunch.errors import RequestError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.plan.export_scripts import (
    ExportFile,
    Workload,
    headline,
    numactl_script,
    refuse_accelerators,
    refuse_names,
    slurm_script,
    text_of,
    usage_check,
)
from ipexlaunch.plan.plan import Instance, Plan, fill_template

NAME = "ipexlaunch"

_POLICIES = {"bind": "bind", "preferred": "preferred", "interleave": "interleave", "local": "local"}
_NEAREST = {"preferred-many": "preferred", "weighted-interleave": "interleave"}
"""systemd 252 has no word for these."""


def systemd_units(plan: Plan, work: Workload) -> tuple[ExportFile, ...]:
    """Units to copy into /etc/systemd/system; `systemctl start ipexlaunch.target` starts every instance.

    Raises:
        RequestError: no program, or one without its whole path.
    """
    program = work.program
    if not program or not program[0].startswith("/"):
        given = f"the program is {program[0]!r}" if program else "no program is given"
        hint = "write it behind the options: -- /usr/bin/python3 /srv/script.py"
        raise RequestError("export systemd units", f"{given}, and a unit needs its whole path", hint)
    services = [f"{NAME}-{instance.index}.service" for instance in plan.chosen]
    cpus = frozenset().union(*(instance.cpus for instance in plan.chosen))
    nodes = frozenset().union(*(instance.nodes for instance in plan.chosen))
    target = [f"# {headline(plan)}", "[Unit]", f"Description=Instances of {_specifiers(program[0])}"]
    target += [f"Wants={service}" for service in services]
    limits = ["[Slice]", f"AllowedCPUs={_spaced(cpus)}"]
    limits += [f"AllowedMemoryNodes={_spaced(nodes)}"] if nodes else []
    return (
        ExportFile(f"{NAME}.target", text_of(target)),
        ExportFile(f"{NAME}.slice", text_of(["[Unit]", "Description=Cpus and memory of the instances", "", *limits])),
        *(ExportFile(s, text_of(_service(plan, i, work))) for s, i in zip(services, plan.chosen, strict=True)),
    )


def _service(plan: Plan, instance: Instance, work: Workload) -> list[str]:
    lines = [
        "[Unit]",
        f"Description=Instance {instance.index} of {len(plan.instances)}",
        f"PartOf={NAME}.target",
        "",
        "[Service]",
        "Type=exec",
        f"Slice={NAME}.slice",
        f"AllowedCPUs={_spaced(instance.cpus)}",
        f"CPUAffinity={_spaced(instance.cpus)}",
    ]
    if instance.nodes and instance.memory != "none":
        if instance.memory in _NEAREST:
            lines.append(f"# the plan says {instance.memory}, which systemd has no word for")
        policy = _POLICIES.get(instance.memory) or _NEAREST[instance.memory]
        lines.append(f"NUMAPolicy={policy}")
        if policy != "local":
            nodes = {min(instance.nodes)} if policy == "preferred" else instance.nodes
            lines.append(f"NUMAMask={_spaced(nodes)}")
        if instance.memory == "bind":
            lines.append(f"AllowedMemoryNodes={_spaced(instance.nodes)}")
    lines += [f'Environment="{_in_quotes(assignment)}"' for assignment in work.assignments(plan, instance)]
    return [*lines, "ExecStart=" + " ".join(_escaped(word) for word in work.words(plan, instance))]


def _spaced(ids: Iterable[int]) -> str:
    return format_list(ids).replace(",", " ")


def _in_quotes(text: str) -> str:
    """A text between double quotes: backslashes, quotes and specifiers stand for themselves."""
    return _specifiers(text.replace("\\", "\\\\").replace('"', '\\"')).replace("\n", "\\n")


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _escaped(word: str) -> str:
    """One word of ExecStart: specifiers, variables and quotes lose their meaning (systemd.service(5))."""
    text = _in_quotes(word).replace("$", "$$")
    return text if text and not set(text) & set(" \t;'\"\\") else f'"{text}"'


def docker_script(plan: Plan, work: Workload) -> tuple[ExportFile, ...]:
    """A script that starts one container for each instance; the program is the image, with its command.

    --cpuset-mems binds memory without CAP_SYS_NICE, which set_mempolicy would need inside the container.

    Raises:
        RequestError: the instances drive accelerators.
    """
    refuse_accelerators(plan, "docker")
    lines = ["#!/bin/sh", f"# {headline(plan)}", *usage_check(work.program, "IMAGE [COMMAND...]"), "set -e"]
    for instance in plan.chosen:
        line = f"{shlex.join(_docker_words(plan, instance, work))} {work.shell_words(plan, instance)}"
        fill = work.fill_arguments(plan, instance)
        lines.append(f"(\n{fill}\n{line}\n)" if fill else line)
    return (ExportFile("run-containers.sh", text_of(lines), executable=True),)


def _docker_words(plan: Plan, instance: Instance, work: Workload) -> list[str]:
    words = ["docker", "run", "--detach", "--name", f"ipexlaunch-{instance.index}"]
    words.append(f"--cpuset-cpus={format_list(instance.cpus)}")
    if instance.nodes and instance.memory not in ("none", "local"):
        words.append(f"--cpuset-mems={format_list(instance.nodes)}")
    for assignment in work.assignments(plan, instance):
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


UNKNOWN_THERE = {
    "cpus": "the kubelet chooses the cpus",
    "nodes": "the kubelet chooses the node",
    "port": "every pod has an address of its own, so all can have one port",
}

OF_THE_POD = {"index": "$(IPEXLAUNCH_INDEX)", "count": "$(IPEXLAUNCH_COUNT)", "threads": "$(OMP_NUM_THREADS)"}
"""What `{index}` and its kind become: the kubelet puts in the pod's own variables."""


def kubernetes_manifest(plan: Plan, work: Workload) -> tuple[ExportFile, ...]:
    """A StatefulSet with as many pods as instances, and a note on what the kubelet must be told.

    Args:
        plan: instances of one size.
        work: the image, with its command; empty leaves IMAGE to be filled in.

    Raises:
        RequestError: the instances are unequal, drive accelerators or do not follow one another, or the words ask for
            what only the kubelet knows.
    """
    refuse_accelerators(plan, "Kubernetes")
    program = work.program
    refuse_names([*program, *work.variables.values()], UNKNOWN_THERE, "Kubernetes")
    refuse_names(program[:1], dict.fromkeys(OF_THE_POD, "the pods of a StatefulSet have one image"), "Kubernetes")
    first = min(instance.index for instance in plan.chosen)
    if [instance.index for instance in plan.chosen] != list(range(first, first + len(plan.chosen))):
        what = f"the pods of a StatefulSet are numbered without gaps, and --instance-idx is {plan.request.instance_idx}"
        raise RequestError("export to Kubernetes", what, "export instances that follow one another")
    sizes = {len(instance.cpus) for instance in plan.chosen}
    if len(sizes) > 1:
        what = f"instances have {min(sizes)} to {max(sizes)} cpus, and the pods of a StatefulSet are alike"
        raise RequestError("export to Kubernetes", what, "export equal instances")
    image, command = (program[0], list(program[1:])) if program else ("IMAGE", [])
    rows = "\n".join(
        f"#   {i.index}: cpus {format_list(i.cpus)}, memory of nodes {format_list(i.nodes)}" for i in plan.chosen
    )
    own = {"OMP_NUM_THREADS": str(plan.chosen[0].threads), "IPEXLAUNCH_COUNT": str(len(plan.instances))}
    given = {name: _expanded(text) for name, text in work.variables.items()}
    variables = [
        f"            - {{name: {_quoted(name)}, value: {_quoted(text)}}}" for name, text in {**own, **given}.items()
    ]
    words = [f"          command: [{', '.join(_quoted(_expanded(word)) for word in command)}]"] if command else []
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
        *([f"  ordinals: {{start: {first}}}"] if first else []),
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
        "            - name: IPEXLAUNCH_INDEX",  # first: what is put into the others stands before them
        "              valueFrom: {fieldRef: {fieldPath: \"metadata.labels['apps.kubernetes.io/pod-index']\"}}",
        *variables,
        "          resources:",
        f"            requests: {{cpu: {size}{memory}}}",
        f"            limits: {{cpu: {size}{memory}}}",
    ]
    text = NOTE.format(headline=headline(plan), rows=rows) + text_of(lines)
    return (ExportFile("ipexlaunch.yaml", text),)


def _expanded(text: str) -> str:
    """A text of which the kubelet puts in only what we mean: `$$` is a dollar sign there, and `$(NAME)` a variable."""
    return fill_template(text.replace("$", "$$"), {**OF_THE_POD, **UNKNOWN_THERE})


def _quoted(word: str) -> str:
    """A double-quoted scalar of YAML."""
    parts = (f"\\{c}" if c in '\\"' else c if c.isprintable() else f"\\U{ord(c):08x}" for c in word)
    return f'"{"".join(parts)}"'


__all__ = ["EXPORTS", "ExportFile", "Workload", "export_plan"]

_WRITERS: dict[str, Callable[[Plan, Workload], tuple[ExportFile, ...]]] = {
    "numactl": numactl_script,
    "systemd": systemd_units,
    "slurm": slurm_script,
    "docker": docker_script,
    "kubernetes": kubernetes_manifest,
}

EXPORTS = tuple(_WRITERS)


def export_plan(kind: str, plan: Plan, work: Workload) -> tuple[ExportFile, ...]:
    """The files that make another tool start the plan's instances.

    Args:
        kind: one of EXPORTS.
        plan: the instances; only the chosen ones (--instance-idx) are written.
        work: what each runs.

    Raises:
        RequestError: this kind needs the program, or cannot give each instance what the program's words ask for.
    """
    return _WRITERS[kind](plan, work)
