"""What holds workers back: others on the same cpus, a quota, and the priority and limits that this process hands down.

Sources: proc(5) (/proc/loadavg, /proc/stat, /proc/PID/stat, /proc/PID/limits, /proc/PID/oom_score_adj), getrlimit(2),
sched(7); Documentation/admin-guide/cgroup-v2.rst (cpu.max, cpu.stat, memory.max) and
Documentation/scheduler/sched-bwc.rst of the Linux kernel.
"""

from __future__ import annotations

import math
import re

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import Facts, require
from ipexlaunch.doctor.host_files_read import FileText, Undecidable
from ipexlaunch.machine.wording import counted, in_gib

LOAD = "/proc/loadavg"
TICKS = "/proc/stat"
GROUPS = "/proc/self/cgroup"
STAT = "/proc/self/stat"
OOM = "/proc/self/oom_score_adj"
LIMITS = "/proc/self/limits"

PATHS = (LOAD, TICKS, GROUPS, STAT, OOM, LIMITS)

BUSY_SHARE = 0.1
"""Of the allowed cpus: more load than this disturbs a measurement."""

CROWDED_SHARE = 0.5

STOLEN_SHARE = 0.01
"""Of the time since boot in which this guest wanted to run."""

NICE_FIELD = 19
POLICY_FIELD = 41
"""Places in /proc/PID/stat, counted from 1."""

POLICIES = {3: "SCHED_BATCH", 5: "SCHED_IDLE"}

ENOUGH_FILES = 4096
"""A worker opens a file per shard, per library and per data loader pipe; the launcher three per worker."""

PROCESSES_PER_CPU = 8
SPARE_PROCESSES = 512
"""A worker has an OpenMP, an interop and a data loader pool, each of about one thread per core, and a few more."""

SMALL_STACK_BYTES = 1 << 20


def check_other_load(facts: Facts) -> Finding:
    """Whether other programs are running now."""
    reading = facts.files.read(LOAD)
    words = reading.require_text().split()
    try:
        load = float(words[0]) if len(words[0]) < 20 else math.nan
    except (IndexError, ValueError):
        raise Undecidable("it does not begin with a number", reading.evidence) from None
    if not 0 <= load < math.inf:
        raise Undecidable("it does not begin with a number of tasks", reading.evidence)
    cpus = _cpus_of_load(facts, reading)
    share = load / cpus
    if share <= BUSY_SHARE and reading.overmounted:
        raise Undecidable("it is the container's own, and shows nothing of others on the same cores", reading.evidence)
    where = f"on {counted(cpus, 'cpu')} in the last minute"
    if share <= BUSY_SHARE:
        return finding("ok", f"The host is idle ({load:g} tasks {where})", reading.evidence)
    few = share <= CROWDED_SHARE
    then = "a measurement now is a little off" if few else "workers share their cores with them"
    return finding(
        "note" if few else "warning",
        f"{load:g} tasks ran or waited {where}: {then}",
        reading.evidence,
        remedy="see who they are",
        command="top -b -n 1 | head -20",
    )


def _cpus_of_load(facts: Facts, reading: FileText) -> int:
    """How many cpus the tasks share: the container's own, or all that are online on the host, shown here or not."""
    machine = facts.machine
    if reading.overmounted:
        return len(machine.allowed_cpus)
    hidden = machine.view is not None
    return len(machine.present_cpus - (frozenset() if hidden else machine.offline_cpus)) or len(machine.by_cpu)


def check_stolen_time(facts: Facts) -> Finding:
    """Whether the hypervisor ran other guests while ours wanted to run."""
    reading = facts.files.read(TICKS)
    words = reading.require_field("cpu", " ").split()
    if reading.overmounted:
        raise Undecidable("it is the container's own", reading.evidence)
    if len(words) < 8 or not all(word.isdecimal() for word in words[:8]):
        raise Undecidable("its first line is not eight numbers", Evidence(TICKS, " ".join(words)[:60]))
    ticks = [int(word) for word in words[:8]]  # user nice system idle iowait irq softirq steal
    if not any(ticks):
        raise Undecidable("it counts nothing", reading.evidence)
    wanted = sum(ticks) - ticks[3] - ticks[4]
    share = ticks[7] / wanted if wanted else 0.0
    seen = Evidence(TICKS, f"cpu: steal {ticks[7]} of {wanted} busy ticks since boot")
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
    limit = require(facts.memory_limit)
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
        facts.files.require_live(GROUPS)


def check_priority(facts: Facts) -> Finding:
    """Whether workers start with a lower priority than other programs, as under Ray and cron."""
    reading = facts.files.read(STAT)
    fields = reading.require_text().rpartition(")")[2].split()
    nice, policy = _stat_field(fields, NICE_FIELD), _stat_field(fields, POLICY_FIELD)
    seen = Evidence(STAT, f"nice {nice}, scheduling policy {policy}")
    if policy in POLICIES:
        message = f"Workers run as {POLICIES[policy]}: others come first"
        return finding("warning", message, seen, remedy="choose the normal policy", command="chrt --other --pid 0 $$")
    if nice <= 0:
        return finding("ok", "Workers have the normal priority or a higher one", seen)
    return finding(
        "warning",
        f"Workers start with nice {nice}: every other program comes first",
        seen,
        remedy="start ipexlaunch with nice 0 (under Ray: RAY_worker_niceness=0)",
        command="sudo renice -n 0 -p $$",
    )


def _stat_field(fields: list[str], place: int) -> int:
    index = place - 3  # field 3 is the first after the command's name, which may hold anything
    if index >= len(fields) or not re.fullmatch(r"-?\d+", fields[index]):
        raise Undecidable(f"it has no field {place}", Evidence(STAT, " ".join(fields)[:60]))
    return int(fields[index])


def check_oom_score(facts: Facts) -> Finding:
    """Whether the kernel kills workers first when memory runs out."""
    reading = facts.files.read(OOM)
    if reading.require_number() <= 0:
        return finding("ok", "Workers are not the first to be killed when memory runs out", reading.evidence)
    return finding(
        "warning",
        "Workers are killed before other programs when memory runs out",
        reading.evidence,
        remedy="start ipexlaunch with 0 (under Ray: RAY_worker_oom_score_adjustment=0)",
        command="echo 0 | sudo tee /proc/$$/oom_score_adj",
    )


def check_open_files(facts: Facts) -> Finding:
    """Whether a worker may open enough files."""
    soft, hard, seen = _limit(facts, "Max open files")
    if soft >= ENOUGH_FILES:
        return finding("ok", "Workers may open enough files", seen)
    command = f"ulimit -n {ENOUGH_FILES}" if hard >= ENOUGH_FILES else ""
    return _too_low(f"A worker may open only {soft} files", seen, command, "LimitNOFILE")


def check_processes(facts: Facts) -> Finding:
    """Whether the user may have enough threads; the limit counts those of all of the user's programs."""
    soft, hard, seen = _limit(facts, "Max processes")
    cpus = len(facts.machine.allowed_cpus)
    wanted = PROCESSES_PER_CPU * cpus + SPARE_PROCESSES
    if soft >= wanted:
        return finding("ok", "The user may have enough threads", seen)
    message = f"The user may have only {soft} threads; workers on {cpus} cpus can need {wanted}"
    return _too_low(message, seen, f"ulimit -u {wanted}" if hard >= wanted else "", "LimitNPROC")


def _too_low(message: str, seen: Evidence, command: str, service_key: str) -> Finding:
    """A limit that a shell's command raises, or where the hard one is too low, only who administers the host."""
    remedy = "raise the limit" if command else f"raise it in /etc/security/limits.conf or the service's {service_key}="
    return finding("warning", message, seen, remedy=remedy, command=command)


def check_stack(facts: Facts) -> Finding:
    """Whether threads get a usual stack."""
    soft, _, seen = _limit(facts, "Max stack size")
    if soft >= SMALL_STACK_BYTES:
        return finding("ok", "Threads get a usual stack", seen)
    message = f"Threads get a stack of {int(soft) // 1024} KiB: deep models end in a segmentation fault"
    return finding("warning", message, seen, remedy="raise the limit", command="ulimit -s 8192")


def check_locked_memory(facts: Facts) -> Finding:
    """Whether programs that lock their weights in memory may do so."""
    soft, _, seen = _limit(facts, "Max locked memory")
    if soft == math.inf:
        return finding("ok", "Weights may be locked in memory", seen)
    message = f"At most {in_gib(soft)} can be locked: matters only to programs that ask (llama.cpp --mlock, RDMA)"
    return finding("note", message, seen, remedy="raise it if yours does", command="ulimit -l unlimited")


def check_address_space(facts: Facts) -> Finding:
    """Whether virtual memory is limited: mapping weights then fails long before memory is full."""
    soft, _, seen = _limit(facts, "Max address space")
    if soft == math.inf:
        return finding("ok", "Virtual memory is not limited", seen)
    message = f"Virtual memory is limited to {in_gib(soft)} per worker: mapped weights count in full"
    return finding("warning", message, seen, remedy="lift the limit", command="ulimit -v unlimited")


def _limit(facts: Facts, name: str) -> tuple[float, float, Evidence]:
    """(soft, hard, evidence), infinite where unlimited."""
    text = facts.files.read(LIMITS).require_text()
    match = re.search(rf"^{name}\s+(\d+|unlimited)\s+(\d+|unlimited)\b", text, re.MULTILINE)
    if match is None:
        raise Undecidable(f"it has no line {name!r}", Evidence(LIMITS, f"no line {name!r}"))
    soft, hard = (math.inf if word == "unlimited" else int(word) for word in match.groups())
    return soft, hard, Evidence(LIMITS, f"{name}: soft {match[1]}, hard {match[2]}")
