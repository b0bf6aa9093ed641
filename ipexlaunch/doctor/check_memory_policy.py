"""Whether memory can be bound, and whether somebody bound ours before we started.

Sources: set_mempolicy(2); moby/profiles/seccomp (set_mempolicy needs CAP_SYS_NICE in Docker's default profile).
"""

from __future__ import annotations

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import Facts, need
from ipexlaunch.doctor.host_files_read import CannotTell

STATUS = "/proc/self/status"

PATHS = (STATUS,)

SECCOMP_MODES = {"0": "no filter", "1": "strict", "2": "a filter"}
"""/proc/PID/status: proc(5)."""


def check_memory_policy_allowed(facts: Facts) -> Finding:
    """Whether the kernel lets us bind memory to nodes."""
    policy = need(facts.memory_policy)
    seccomp = facts.files.read(STATUS).need_field("Seccomp")
    seen = Evidence(STATUS, f"Seccomp: {seccomp} ({SECCOMP_MODES.get(seccomp, 'unknown mode')})")
    if not policy.refusal:
        return finding("ok", "Memory can be bound to nodes", Evidence("set_mempolicy(2)", policy.trial), seen)
    return finding(
        "problem",
        "Memory policy is refused: workers are pinned to cpus, but their pages only follow by first touch",
        Evidence("set_mempolicy(2)", policy.refusal),
        seen,
        remedy="give the container CAP_SYS_NICE (in Kubernetes: securityContext.capabilities.add: [SYS_NICE])",
        command="docker run --cap-add SYS_NICE ...",
    )


def check_inherited_memory_policy(facts: Facts) -> Finding:
    """Whether a memory policy was handed down, as numactl and Slurm's --mem-bind do."""
    policy = need(facts.memory_policy)
    if not policy.policy:
        raise CannotTell(policy.refusal, Evidence("get_mempolicy(2)", policy.refusal))
    seen = Evidence(policy.source, policy.policy)
    if policy.policy in ("default", "local"):
        return finding("ok", "No memory policy is inherited", seen)
    return finding(
        "warning",
        f"The memory policy {policy.policy} is inherited: whatever is not placed by a plan lands there",
        seen,
        remedy="start ipexlaunch without numactl -m or srun --mem-bind; each worker's own policy replaces it",
        command="numactl --localalloc ipexlaunch ...",
    )
