"""What this process was given by whoever started it, and hands down to every worker: priority and limits.

Sources: proc(5) (/proc/PID/stat, /proc/PID/limits, /proc/PID/oom_score_adj), getrlimit(2), sched(7).
"""

from __future__ import annotations

import re

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import Facts
from ipexlaunch.doctor.host_files_read import CannotTell
from ipexlaunch.doctor.quantity import in_gib

STAT = "/proc/self/stat"
OOM = "/proc/self/oom_score_adj"
LIMITS = "/proc/self/limits"

PATHS = (STAT, OOM, LIMITS)

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


def check_priority(facts: Facts) -> Finding:
    """Whether workers start with a lower priority than other programs, as under Ray and cron."""
    reading = facts.files.read(STAT)
    fields = reading.need_text().rpartition(")")[2].split()
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
        raise CannotTell(f"it has no field {place}", Evidence(STAT, " ".join(fields)[:60]))
    return int(fields[index])


def check_oom_score(facts: Facts) -> Finding:
    """Whether the kernel kills workers first when memory runs out."""
    reading = facts.files.read(OOM)
    score = reading.need_number()
    if score <= 0:
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
    if soft is None or soft >= ENOUGH_FILES:
        return finding("ok", "Workers may open enough files", seen)
    reachable = hard is None or hard >= ENOUGH_FILES
    return finding(
        "warning",
        f"A worker may open only {soft} files",
        seen,
        remedy="raise the limit"
        if reachable
        else "raise it in /etc/security/limits.conf or the service's LimitNOFILE=",
        command=f"ulimit -n {ENOUGH_FILES}" if reachable else "",
    )


def check_processes(facts: Facts) -> Finding:
    """Whether the user may have enough threads; the limit counts those of all of the user's programs."""
    soft, hard, seen = _limit(facts, "Max processes")
    wanted = PROCESSES_PER_CPU * len(facts.machine.allowed_cpus) + SPARE_PROCESSES
    if soft is None or soft >= wanted:
        return finding("ok", "The user may have enough threads", seen)
    reachable = hard is None or hard >= wanted
    return finding(
        "warning",
        f"The user may have only {soft} threads; workers on {len(facts.machine.allowed_cpus)} cpus can need {wanted}",
        seen,
        remedy="raise the limit" if reachable else "raise it in /etc/security/limits.conf or the service's LimitNPROC=",
        command=f"ulimit -u {wanted}" if reachable else "",
    )


def check_stack(facts: Facts) -> Finding:
    """Whether threads get a usual stack."""
    soft, _, seen = _limit(facts, "Max stack size")
    if soft is None or soft >= SMALL_STACK_BYTES:
        return finding("ok", "Threads get a usual stack", seen)
    message = f"Threads get a stack of {soft // 1024} KiB: deep models end in a segmentation fault"
    return finding("warning", message, seen, remedy="raise the limit", command="ulimit -s 8192")


def check_locked_memory(facts: Facts) -> Finding:
    """Whether programs that lock their weights in memory may do so."""
    soft, _, seen = _limit(facts, "Max locked memory")
    if soft is None:
        return finding("ok", "Weights may be locked in memory", seen)
    message = f"At most {in_gib(soft)} can be locked: matters only to programs that ask (llama.cpp --mlock, RDMA)"
    return finding("note", message, seen, remedy="raise it if yours does", command="ulimit -l unlimited")


def check_address_space(facts: Facts) -> Finding:
    """Whether virtual memory is limited: mapping weights then fails long before memory is full."""
    soft, _, seen = _limit(facts, "Max address space")
    if soft is None:
        return finding("ok", "Virtual memory is not limited", seen)
    message = f"Virtual memory is limited to {in_gib(soft)} per worker: mapped weights count in full"
    return finding("warning", message, seen, remedy="lift the limit", command="ulimit -v unlimited")


def _limit(facts: Facts, name: str) -> tuple[int | None, int | None, Evidence]:
    """(soft, hard, evidence); None is unlimited."""
    reading = facts.files.read(LIMITS)
    match = re.search(rf"^{name}\s+(\d+|unlimited)\s+(\d+|unlimited)\b", reading.need_text(), re.MULTILINE)
    if match is None:
        raise CannotTell(f"it has no line {name!r}", Evidence(LIMITS, f"no line {name!r}"))
    soft, hard = (None if word == "unlimited" else int(word) for word in match.groups())
    return soft, hard, Evidence(LIMITS, f"{name}: soft {match[1]}, hard {match[2]}")
