"""Who else uses the cpus: other programs, other guests of the hypervisor, a quota.

Sources: proc(5) (/proc/loadavg, /proc/stat), Documentation/admin-guide/cgroup-v2.rst (cpu.max, cpu.stat, memory.max)
and Documentation/scheduler/sched-bwc.rst of the Linux kernel.
"""

from __future__ import annotations

import math

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import Facts, need
from ipexlaunch.doctor.host_files_read import CannotTell, Reading
from ipexlaunch.doctor.quantity import counted, in_gib

LOAD = "/proc/loadavg"
STAT = "/proc/stat"

GROUPS = "/proc/self/cgroup"

PATHS = (LOAD, STAT, GROUPS)

BUSY_SHARE = 0.1
"""Of the allowed cpus: more load than this disturbs a measurement."""

CROWDED_SHARE = 0.5

STOLEN_SHARE = 0.01
"""Of the time since boot in which this guest wanted to run."""


def check_other_load(facts: Facts) -> Finding:
    """Whether other programs are running now."""
    reading = facts.files.read(LOAD)
    words = reading.need_text().split()
    try:
        load = float(words[0]) if len(words[0]) < 20 else math.nan
    except (IndexError, ValueError):
        raise CannotTell("it does not begin with a number", reading.evidence) from None
    if not 0 <= load < math.inf:
        raise CannotTell("it does not begin with a number of tasks", reading.evidence)
    cpus = _cpus_of_load(facts, reading)
    share = load / cpus
    if share <= BUSY_SHARE and reading.stand_in:
        raise CannotTell("it is the container's own, and shows nothing of others on the same cores", reading.evidence)
    if share <= BUSY_SHARE:
        return finding(
            "ok", f"The host is idle ({load:g} tasks on {counted(cpus, 'cpu')} in the last minute)", reading.evidence
        )
    message = f"{load:g} tasks ran or waited on {counted(cpus, 'cpu')} in the last minute"
    if share <= CROWDED_SHARE:
        message += ": a measurement now is a little off"
        return finding("note", message, reading.evidence, remedy="see who they are", command="top -b -n 1 | head -20")
    message += ": workers share their cores with them"
    return finding("warning", message, reading.evidence, remedy="see who they are", command="top -b -n 1 | head -20")


def _cpus_of_load(facts: Facts, reading: Reading) -> int:
    """How many cpus the tasks share: the container's own, or all that are online on the host, shown here or not."""
    machine = facts.machine
    if reading.stand_in:
        return len(machine.allowed_cpus)
    hidden = machine.view is not None
    return len(machine.present_cpus - (frozenset() if hidden else machine.offline_cpus)) or len(machine.by_cpu)


def check_stolen_time(facts: Facts) -> Finding:
    """Whether the hypervisor ran other guests while ours wanted to run."""
    reading = facts.files.read(STAT)
    words = reading.need_field("cpu", " ").split()
    if reading.stand_in:
        raise CannotTell("it is the container's own", reading.evidence)
    if len(words) < 8 or not all(word.isdecimal() for word in words[:8]):
        raise CannotTell("its first line is not eight numbers", Evidence(STAT, " ".join(words)[:60]))
    ticks = [int(word) for word in words[:8]]  # user nice system idle iowait irq softirq steal
    if not any(ticks):
        raise CannotTell("it counts nothing", reading.evidence)
    wanted = sum(ticks) - ticks[3] - ticks[4]
    share = ticks[7] / wanted if wanted else 0.0
    seen = Evidence(STAT, f"cpu: steal {ticks[7]} of {wanted} busy ticks since boot")
    if share <= STOLEN_SHARE:
        return finding("ok", "The hypervisor, if any, took no time away", seen)
    return finding(
        "warning",
        f"The hypervisor gave {share:.1%} of the time that this guest wanted to others (since boot)",
        seen,
        remedy="ask for dedicated cpus; nothing inside the guest helps",
    )


def check_cpu_quota(facts: Facts) -> Finding:
    """Whether a cgroup stops all workers in each period once they have used their share."""
    quota, allowed = facts.machine.cpu_quota, len(facts.machine.allowed_cpus)
    limits = [limit for limit in facts.machine.limits if limit.quota is not None]
    seen = [*(Evidence(f"/{limit.file}", f"{limit.quota:g} cpus") for limit in limits), *facts.throttling]
    if quota is None:
        _need_groups(facts)
        return finding("ok", "No cpu quota", Evidence("cpu cgroups above this process", "no quota"))
    cores = sum(bool(cpus & facts.machine.allowed_cpus) for cpus in facts.machine.cores.values())
    if quota >= allowed:
        return finding("ok", f"The quota of {quota:g} cpus covers all {allowed} allowed", *seen)
    if quota >= cores:
        message = f"The quota of {quota:g} cpus covers one thread on each of {counted(cores, 'allowed core')}"
        return finding("ok", message, *seen)
    return finding(
        "problem",
        f"The quota of {quota:g} cpus is less than the {counted(cores, 'allowed core')}: "
        "the kernel stops all workers for part of each period",
        *seen,
        remedy="lift the quota (in Docker: --cpuset-cpus instead of --cpus); where neither number nor size is asked "
        "for, plans use no more cores than it covers",
        command=f"ipexlaunch --ninstances 1 --ncores-per-instance {max(1, int(quota))} ...",
    )


def check_memory_limit(facts: Facts) -> Finding:
    """Whether a cgroup kills workers before the nodes are full."""
    limit = need(facts.memory_limit)
    usable = sum(node.memory_bytes for node in facts.machine.nodes if node.id in facts.machine.allowed_nodes)
    if limit is None:
        _need_groups(facts)
        return finding("ok", "No memory limit below the machine's memory", Evidence("memory cgroups", "no limit"))
    seen = Evidence(limit.path, in_gib(limit.limit_bytes))
    if usable and limit.limit_bytes >= usable:
        return finding("ok", "The memory limit is not below the memory of the allowed nodes", seen)
    then = "stops whoever asks for more" if limit.path.endswith("/memory.high") else "kills one"
    message = f"All workers together may use {in_gib(limit.limit_bytes)}; then the kernel {then}"
    return finding("note", message, seen, Evidence("allowed nodes", in_gib(usable) if usable else "memory unknown"))


def _need_groups(facts: Facts) -> None:
    """A limit that was not found is none, unless a saved tree lacks what leads to the cgroups."""
    if facts.files.read(GROUPS).is_missing:
        facts.files.need_complete(GROUPS)
