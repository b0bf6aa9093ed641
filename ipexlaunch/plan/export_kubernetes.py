"""A Kubernetes Job: one pod that ipexlaunch splits, with cpus of its own where the kubelet's cpu manager is static.

No cluster has run it: it is what the documentation and the schemas of the interface say. Sources: Kubernetes
documentation, "Control CPU Management Policies on the Node", "Topology Manager", "Jobs", "Handling retriable and
non-retriable pod failures with Pod failure policy", "Downward API"; cri-o and containerd, default seccomp profiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipexlaunch.documents.text import dump_yaml
from ipexlaunch.errors import TRY_AGAIN, RequestError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.plan.export_scripts import ExportFile, headline, refuse_accelerators
from ipexlaunch.plan.own_launch import OwnLaunch
from ipexlaunch.plan.plan import Plan

LAUNCHER_BYTES = 256 << 20
"""Of the launcher itself, beside its workers."""

NOTE = """\
{headline}
No cluster has run this: it was checked against the schemas of Kubernetes alone. Submit it with kubectl apply -f FILE.

The kubelet, and no manifest, chooses a pod's cpus. It gives whole ones to this pod alone where its configuration has
  cpuManagerPolicy: static
  cpuManagerPolicyOptions: {{{options}}}
  topologyManagerPolicy: {topology}
  memoryManagerPolicy: Static      # binds memory too; it needs reservedMemory
and because requests equal limits, the cpus are a whole number ({cpus}: both siblings of a core count) and memory is
asked for. ipexlaunch plans in the pod, on the cpus that it is given there.
Memory policies need SYS_NICE where the kubelet has seccompDefault: true; without it cpus are pinned all the same, the
report says what was refused, and the kubelet's memory manager binds. Where the namespace allows it, uncomment:
  securityContext: {{capabilities: {{add: [SYS_NICE]}}}}      # of the container
The plan, for comparison:
{rows}"""

_OF_THE_POD = (
    ("POD_NAME", "metadata.name"),
    ("POD_NAMESPACE", "metadata.namespace"),
    ("NODE_NAME", "spec.nodeName"),
    ("JOB_NAME", "metadata.labels['batch.kubernetes.io/job-name']"),
)
"""By which a run knows where it is (doctor.job_engine)."""


def kubernetes_manifest(plan: Plan, launch: OwnLaunch) -> tuple[ExportFile, ...]:
    """The manifest of a Job with one pod, and a note on what the kubelet must be told.

    Args:
        plan: its size is the pod's.
        launch: its program is the image, and then what ipexlaunch is to run there.

    Raises:
        RequestError: the instances drive accelerators, no memory is asked for, or no program.
    """
    refuse_accelerators(plan, "Kubernetes")
    launch.check()
    each = plan.request.memory_per_instance_bytes
    if each is None:
        why = "the static cpu manager gives cpus to pods that ask for memory too, and --memory-per-instance is missing"
        raise RequestError("export to Kubernetes", why, 'write e.g. --memory-per-instance "24GiB"')
    image, *program = launch.program or ("IMAGE", "SCRIPT.py")
    if not program:
        raise RequestError("export to Kubernetes", "behind the image stands no program", "-- IMAGE script.py ARGUMENT")
    inside = OwnLaunch(
        options=launch.options, program=tuple(program), variables=launch.variables, first_port=launch.first_port
    )
    again = ("--drain-on-term",) if inside.may_be_repeated else ()
    words = [*inside.launcher, inside.command, *inside.option_words, *again, *inside.program_words]
    size = {"cpu": str(launch.cpus), "memory": str(each * len(plan.chosen) + LAUNCHER_BYTES)}
    job = {
        "backoffLimit": 3 if inside.may_be_repeated else 0,
        **({"podFailurePolicy": failure_policy("FailJob")} if inside.may_be_repeated else {}),
        "template": {"spec": pod_spec(image, words, size)},
    }
    nodes = {node for instance in plan.chosen for node in instance.nodes}
    note = NOTE.format(
        headline=headline(plan),
        options='full-pcpus-only: "true"' + (', distribute-cpus-across-numa: "true"' if len(nodes) > 1 else ""),
        topology="restricted" if len(nodes) > 1 else "single-numa-node",
        cpus=launch.cpus,
        rows="\n".join(
            f"  {i.index}: cpus {format_list(i.cpus)}, memory of nodes {format_list(i.nodes)}" for i in plan.chosen
        ),
    )
    return (ExportFile("ipexlaunch.yaml", comment(note) + job_manifest("ipexlaunch", job)),)


def job_manifest(name: str, spec: dict[str, Any], namespace: str = "") -> str:
    """A Job as YAML.

    Args:
        name: of the job.
        spec: of the job.
        namespace: "" for that of whoever submits it.
    """
    place = {"namespace": namespace} if namespace else {}
    return dump_yaml({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **place}, "spec": spec})


def pod_spec(image: str, words: Sequence[str], size: dict[str, str]) -> dict[str, Any]:
    """A pod with one container that may not be disturbed, and that knows its own names.

    Args:
        image: of the container.
        words: what it runs, byte for byte.
        size: cpu and memory, both requested and the limit.
    """
    names = [
        {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}} for name, path in _OF_THE_POD
    ]
    container = {
        "name": "ipexlaunch",
        "image": image,
        "command": [literal(word) for word in words],
        "env": names,
        "resources": {"requests": dict(size), "limits": dict(size)},
    }
    return {"restartPolicy": "Never", "terminationGracePeriodSeconds": 120, "containers": [container]}


def failure_policy(otherwise: str) -> dict[str, Any]:
    """What becomes of pods that fail: those that say "try again", and those that were moved away, cost no try.

    Args:
        otherwise: what becomes of one that was asked for something impossible (exit code 2).
    """

    def on_codes(action: str, *codes: int) -> dict[str, Any]:
        return {"action": action, "onExitCodes": {"containerName": "ipexlaunch", "operator": "In", "values": [*codes]}}

    moved = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    return {"rules": [on_codes("Ignore", TRY_AGAIN), moved, on_codes(otherwise, 2)]}


def literal(word: str) -> str:
    """A word in which the kubelet puts in nothing: `$$` is a dollar sign there, and `$(NAME)` a variable."""
    return word.replace("$", "$$")


def comment(text: str) -> str:
    """Lines of a comment."""
    return "".join(f"# {line}".rstrip() + "\n" for line in text.split("\n"))
