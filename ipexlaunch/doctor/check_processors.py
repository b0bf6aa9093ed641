"""Which cpus a run gets: SMT, offline and isolated cpus, what this process may use of them.

Sources: Documentation/admin-guide/cputopology.rst, kernel-parameters.txt (isolcpus, nosmt) and cgroup-v2.rst
(cpu.max, cpu.stat) of the Linux kernel.
"""

from __future__ import annotations

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import Facts
from ipexlaunch.doctor.host_files_read import Unavailable, Undecidable
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.wording import counted

SMT_ACTIVE = "/sys/devices/system/cpu/smt/active"
SMT_CONTROL = "/sys/devices/system/cpu/smt/control"
ONLINE = "/sys/devices/system/cpu/online"
PRESENT = "/sys/devices/system/cpu/present"
ISOLATED = "/sys/devices/system/cpu/isolated"
STATUS = "/proc/self/status"

PATHS = (SMT_ACTIVE, SMT_CONTROL, ONLINE, PRESENT, ISOLATED, STATUS)

EXPLAIN = "ipexlaunch topology --explain"


def check_smt(facts: Facts) -> Finding:
    """Whether two hardware threads share a core."""
    active, control = facts.files.read(SMT_ACTIVE), facts.files.read(SMT_CONTROL)
    if active.is_missing:  # before Linux 4.19
        shared = [core for core, cpus in facts.machine.cores.items() if len(cpus) > 1]
        seen = Evidence("topology", f"{len(shared)} of {counted(len(facts.machine.cores), 'core')} with siblings")
        on = bool(shared)
    else:
        seen, on = active.evidence, active.require_switch()
    if not on:
        return finding("ok", "No two cpus share a core", seen, control.evidence)
    message = "SMT is on: two threads on one core are slower than on two, so workers get one thread per core"
    return finding("note", message, seen, control.evidence, remedy="nothing to do, unless you ask for logical cores")


def check_offline_cpus(facts: Facts) -> Finding:
    """Whether cpus that are in the machine are switched off."""
    present, online = facts.files.read(PRESENT), facts.files.read(ONLINE)
    for reading in (present, online):
        if not reading.require_ids():
            raise Undecidable("it names no cpu", reading.evidence)
    view = None if isinstance(facts.topology, Unavailable) else facts.topology.view
    if view is not None or online.overmounted:
        ours = counted(len(online.require_ids()), "cpu")
        message = f"This container is shown {ours}; the host's {len(present.require_ids())} are not its to switch"
        return finding("ok", message, present.evidence, online.evidence)
    offline = sorted(present.require_ids() - online.require_ids())
    if not offline:
        return finding("ok", "Every cpu of the machine is online", online.evidence)
    control = facts.files.read(SMT_CONTROL)
    message = f"{counted(len(offline), 'cpu')} of {len(present.require_ids())} offline"
    if (control.text or "").strip() in ("off", "forceoff"):
        return finding("note", f"{message}: the siblings, because SMT is off", online.evidence, control.evidence)
    return finding(
        "warning",
        message,
        present.evidence,
        online.evidence,
        remedy="switch them on",
        command=f"sudo chcpu -e {format_list(offline)}",
    )


def check_isolated_cpus(facts: Facts) -> Finding:
    """Whether the kernel does not balance threads over some cpus: threads of one worker then pile up on one of them."""
    reading = facts.files.read(ISOLATED)
    isolated = reading.require_ids()
    if not isolated:
        return finding("ok", "No cpu is isolated from the scheduler", Evidence(ISOLATED, "(empty)"))
    usable = isolated & facts.machine.allowed_cpus
    if not usable:
        return finding("note", f"{counted(len(isolated), 'cpu')} isolated, none of them ours", reading.evidence)
    rest = facts.machine.allowed_cpus - isolated
    return finding(
        "warning",
        f"{counted(len(usable), 'allowed cpu')} isolated: the kernel does not spread a worker's threads over them",
        reading.evidence,
        _status(facts, "Cpus_allowed_list"),
        remedy="leave them out of the plan, or boot without isolcpus",
        command=f"ipexlaunch --cores-list {format_list(rest)} ..." if rest else "",
    )


def check_allowed_cpus(facts: Facts) -> Finding:
    """Whether this process may use all cpus that are online."""
    machine = facts.machine
    online = frozenset(machine.by_cpu)
    seen = _affinity(facts)
    online_seen = facts.files.read(ONLINE).evidence
    refused = online - machine.allowed_cpus
    if not refused and machine.view is not None:
        shown = f"{counted(len(online), 'cpu')} of the host's {len(machine.present_cpus)}"
        return finding("note", f"{shown} may be used in this container", seen, online_seen)
    if not refused:
        return finding("ok", f"All {counted(len(online), 'cpu')} may be used", seen, online_seen)
    cut = [core for core, cpus in machine.cores.items() if cpus & machine.allowed_cpus and cpus & refused]
    message = f"{len(machine.allowed_cpus)} of {counted(len(online), 'online cpu')} may be used"
    if cut:
        message += f"; of {counted(len(cut), 'core')} only some siblings, so others' work shares them"
    return finding("note", message, seen, online_seen, remedy="see what forbids each of the others", command=EXPLAIN)


def check_allowed_memory(facts: Facts) -> Finding:
    """Whether the memory next to the allowed cpus may be used."""
    machine = facts.machine
    seen = _status(facts, "Mems_allowed_list")
    if not machine.nodes:
        return finding("ok", "The machine has no nodes", Evidence("/sys/devices/system/node", "no nodes"))
    ours = machine.nodes_of(machine.allowed_cpus)
    remote = sorted(node for node in ours - machine.allowed_nodes if machine.by_node[node].memory_bytes > 0)
    if not remote:
        return finding("ok", "The memory next to every allowed cpu may be used", seen)
    return finding(
        "problem",
        f"Cpus of node {format_list(remote)} are allowed but its memory is not: all of their memory is remote",
        seen,
        remedy="let the cpuset name cpus and memory of the same nodes, or leave these nodes out",
        command=EXPLAIN,
    )


def _affinity(facts: Facts) -> Evidence:
    """What says which cpus this process may use: the file, or where that does not tell, the system call."""
    for limit in facts.machine.limits:
        if limit.kind == "affinity" and limit.file != STATUS.lstrip("/"):
            return Evidence(limit.file, format_list(limit.cpus or ()))
    return _status(facts, "Cpus_allowed_list")


def _status(facts: Facts, name: str) -> Evidence:
    return Evidence(STATUS, f"{name}: {facts.files.read(STATUS).require_field(name)}")
