"""Hold the calling thread to cpus and memory nodes, and read back what the kernel accepted.

The only module that binds by system calls. Both bindings belong to the thread and are inherited through spawn, so
the launcher sets them on itself, starts the worker, and restores its own: the worker is bound from its first
instruction, with no numactl, no preexec_fn and no code of ours in it.

Memory policies go through libnuma's own set_mempolicy, or the system call where the library is missing; both report
errno, which the `numa` packages of the registry do not. Source: set_mempolicy(2), get_mempolicy(2), and
include/uapi/linux/mempolicy.h of the Linux kernel.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from ipexlaunch.errors import BindError
from ipexlaunch.launch.placement.placement import Binding
from ipexlaunch.machine.cpulist import format_list

MODES = {
    "default": 0,
    "preferred": 1,
    "bind": 2,
    "interleave": 3,
    "local": 4,
    "preferred-many": 5,
    "weighted-interleave": 6,
}
"""Policy names to MPOL_* (local needs Linux 3.8, preferred-many 5.15, weighted-interleave 6.9)."""

MODE_NAMES = {number: name for name, number in MODES.items()}
MODE_FLAGS = 0b111 << 13
"""MPOL_F_NUMA_BALANCING, MPOL_F_RELATIVE_NODES and MPOL_F_STATIC_NODES."""

MASK_BITS = 1024
"""Room for node ids; the kernel's MAX_NUMNODES is at most 1024 (CONFIG_NODES_SHIFT=10)."""

SYSTEM_CALLS = {
    # machine: (get_mempolicy, set_mempolicy), from each architecture's system call table
    "x86_64": (239, 238),
    "aarch64": (236, 237),
    "riscv64": (236, 237),
    "loongarch64": (236, 237),
    "ppc64le": (260, 261),
    "ppc64": (260, 261),
    "s390x": (269, 270),
}

LADDER = {
    "bind": ("bind", "preferred"),
    "preferred-many": ("preferred-many", "preferred"),
    "weighted-interleave": ("weighted-interleave", "interleave"),
}
"""What is tried in turn where the kernel refuses a policy and --strict does not forbid it."""

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2)."""


@lru_cache(maxsize=1)
def _calls() -> tuple[Callable[..., int], Callable[..., int]] | None:
    """(get_mempolicy, set_mempolicy), or None where this machine has neither libnuma nor a known call number."""
    try:
        library = ctypes.CDLL("libnuma.so.1", use_errno=True)
        return library.get_mempolicy, library.set_mempolicy
    except (OSError, AttributeError):
        pass  # not installed: the system calls themselves do
    numbers = SYSTEM_CALLS.get(os.uname().machine)
    if numbers is None:
        return None
    system = ctypes.CDLL(None, use_errno=True).syscall
    get, put = numbers
    return (lambda *words: system(get, *words)), (lambda *words: system(put, *words))


def _refuse(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def memory_policy() -> tuple[str, frozenset[int]]:
    """The calling thread's memory policy: its name and its nodes.

    Raises:
        OSError: the kernel refuses to tell (EPERM under a container's seccomp filter, ENOSYS without NUMA).
    """
    calls = _calls()
    if calls is None:
        raise _refuse(errno.ENOSYS)
    mode = ctypes.c_int()
    mask = (ctypes.c_ulong * (MASK_BITS // 64))()
    if calls[0](ctypes.byref(mode), mask, ctypes.c_ulong(MASK_BITS), None, ctypes.c_ulong(0)) < 0:
        raise _refuse(ctypes.get_errno())
    number = mode.value & ~MODE_FLAGS
    nodes = frozenset(64 * i + bit for i, word in enumerate(mask) for bit in range(64) if word >> bit & 1)
    return MODE_NAMES.get(number, f"mode {number}"), nodes


def set_memory_policy(policy: str, nodes: frozenset[int]) -> None:
    """Set the calling thread's memory policy for pages that it touches from now on.

    Args:
        policy: a key of MODES.
        nodes: node ids; none for "default" and "local".

    Raises:
        OSError: EPERM where it is forbidden, EINVAL for a node without memory or an unknown mode, ENOSYS.
    """
    calls = _calls()
    if calls is None:
        raise _refuse(errno.ENOSYS)
    words = (ctypes.c_ulong * (MASK_BITS // 64))()
    for node in nodes:
        words[node // 64] |= 1 << node % 64
    # The kernel reads one bit less than maxnode says (set_mempolicy(2), BUGS); MASK_BITS has room to spare.
    mask, size = (words, MASK_BITS) if nodes else (None, 0)
    if calls[1](MODES[policy], mask, ctypes.c_ulong(size)) < 0:
        raise _refuse(ctypes.get_errno())


def _set_by_ladder(policy: str, nodes: frozenset[int], strict: bool) -> tuple[str, frozenset[int], str]:
    """(policy, nodes, why it is weaker than asked) as the kernel has it after the best that it accepts."""
    refused = ""
    for step in LADDER.get(policy, (policy,)):
        wanted = frozenset([min(nodes)]) if step == "preferred" else nodes if step != "local" else frozenset()
        try:
            set_memory_policy(step, wanted)
            name, got = memory_policy()
        except OSError as error:
            refused = refused or f"{policy} to node {format_list(nodes)}: {error.strerror}"
            if error.errno == errno.EPERM:
                break  # a filter that forbids one policy forbids them all
            continue
        if step == policy and got != wanted:
            # A cpuset narrows the nodes without an error (mpol_set_nodemask in mm/mempolicy.c).
            refused = f"{policy} to node {format_list(wanted)}: the kernel narrowed it to {format_list(got)}"
        if strict and (refused or name != policy):
            break
        return name, got, refused
    if strict:
        raise BindError(
            f"bind memory: {refused}",
            "--strict forbids to run without it",
            "give the container CAP_SYS_NICE (docker run --cap-add SYS_NICE), or leave out --strict",
        )
    return "none", frozenset(), refused


@contextmanager
def held_to(cpus: frozenset[int], policy: str, nodes: frozenset[int], *, strict: bool = False) -> Iterator[Binding]:
    """Hold the calling thread to cpus and memory within the block, and restore what it had.

    What is started by this thread within the block inherits both from its first instruction.

    Args:
        cpus: cpu ids; empty leaves the affinity as it is.
        policy: a key of MODES, or "none" to leave the memory policy as it is.
        nodes: the policy's nodes; with none given (a machine without node directories) memory is left alone.
        strict: a memory policy that is refused is an error.

    Yields:
        What the kernel accepted, as read back.

    Raises:
        BindError: the cpus are not all to be had, or the policy is refused and `strict` is set.
    """
    own_cpus = os.sched_getaffinity(0)
    try:
        own_policy: tuple[str, frozenset[int]] | None = memory_policy()
    except OSError:
        own_policy = None  # if reading is refused then so is setting, and there is nothing to restore
    try:
        got = _set_cpus(cpus) if cpus else frozenset(own_cpus)
        if policy == "none" or (not nodes and policy != "local"):
            yield Binding(cpus=got, memory="none", nodes=frozenset())
        else:
            name, got_nodes, refused = _set_by_ladder(policy, nodes, strict)
            yield Binding(cpus=got, memory=name, nodes=got_nodes, refused=refused)
    finally:
        os.sched_setaffinity(0, own_cpus)
        if own_policy is not None and own_policy[0] in MODES:
            set_memory_policy(*own_policy)


def _set_cpus(cpus: frozenset[int]) -> frozenset[int]:
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        raise BindError(
            f"pin to cpus {format_list(cpus)}",
            f"the kernel says: {error.strerror}",
            "see `ipexlaunch topology` for the cpus that are allowed here",
        ) from None
    # Cpus outside the cpuset are dropped without an error as long as one is inside (sched_setaffinity(2)).
    got = frozenset(os.sched_getaffinity(0))
    if got != cpus:
        raise BindError(
            f"pin to cpus {format_list(cpus)}",
            f"the kernel gave {format_list(got)}",
            "see `ipexlaunch topology` for the cpus that are allowed here",
        )
    return got


def adopt_orphans() -> bool:
    """Make this process the parent of every orphan below it, so that none escapes at the end; False where refused.

    Source: prctl(2), PR_SET_CHILD_SUBREAPER.
    """
    code: int = ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return code == 0
