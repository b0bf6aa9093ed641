"""Real bindings in children of this process; what needs several nodes runs in guests (tests/guest)."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.errors import BindError
from ipexlaunch.launch.bind import held_to, memory_policy, set_memory_policy
from ipexlaunch.launch.placement.inspect_workers import Inspector
from ipexlaunch.machine.proc_files import descendants

pytestmark = pytest.mark.process

SHOW = "import os; print(sorted(os.sched_getaffinity(0))); print(open('/proc/self/numa_maps').readline().split()[1])"


def child_lines() -> list[str]:
    return subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_child_started_within_the_block_is_bound_and_the_parent_gets_its_own_back() -> None:
    before = os.sched_getaffinity(0)
    cpu = max(before)
    with held_to(frozenset({cpu}), "bind", frozenset({0})) as binding:
        cpus, policy = child_lines()
    assert cpus == str([cpu])
    assert policy == "bind:0"
    assert (binding.cpus, binding.memory, binding.nodes, binding.refused) == (
        frozenset({cpu}),
        "bind",
        frozenset({0}),
        "",
    )
    assert os.sched_getaffinity(0) == before
    assert memory_policy() == ("default", frozenset())


def test_the_parent_gets_its_own_back_after_an_error_too() -> None:
    before = os.sched_getaffinity(0)

    def fail() -> None:
        with held_to(frozenset({min(before)}), "bind", frozenset({0})):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert os.sched_getaffinity(0) == before
    assert memory_policy() == ("default", frozenset())


@pytest.mark.parametrize(
    ("policy", "shown"),
    [("preferred", "prefer:0"), ("interleave", "interleave:0"), ("local", "local"), ("none", "default")],
)
def test_every_policy_reaches_the_child(policy: str, shown: str) -> None:
    with held_to(frozenset(), policy, frozenset({0})):
        assert child_lines()[1] == shown


def test_cpus_that_are_not_there_are_an_error_with_what_is_there() -> None:
    there = max(os.sched_getaffinity(0))
    wanted = frozenset({there, 1023})
    with pytest.raises(BindError) as error, held_to(wanted, "none", frozenset()):
        pass
    assert "1023" in str(error.value)
    with pytest.raises(BindError), held_to(frozenset({1023}), "none", frozenset()):
        pass


def test_a_node_that_is_not_there_leaves_memory_unbound_and_says_so() -> None:
    with held_to(frozenset(), "bind", frozenset({900})) as binding:
        assert child_lines()[1] == "default"
    assert binding.memory == "none"
    assert "900" in binding.refused


def test_strict_makes_that_an_error() -> None:
    with pytest.raises(BindError) as error, held_to(frozenset(), "bind", frozenset({900}), strict=True):
        pass
    assert "--strict" in str(error.value)


def test_the_kernels_refusal_is_an_error_with_its_number() -> None:
    with pytest.raises(OSError) as error:
        set_memory_policy("bind", frozenset({900}))
    assert error.value.errno == errno.EINVAL


def test_a_machine_without_nodes_is_only_pinned() -> None:
    cpu = min(os.sched_getaffinity(0))
    with held_to(frozenset({cpu}), "bind", frozenset()) as binding:
        assert child_lines() == [str([cpu]), "default"]
    assert binding.memory == "none"
    assert not binding.refused


def test_where_a_process_is_includes_its_threads_and_children() -> None:
    cpus = os.sched_getaffinity(0)
    script = (
        "import os, subprocess, sys, threading\n"
        "buffer = bytearray(64 << 20)\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        f"os.sched_setaffinity(0, [{min(cpus)}])\n"
        "child = subprocess.Popen([sys.executable, '-c', 'print(1, flush=True); input()'], stdin=subprocess.PIPE)\n"
        "input()\nchild.communicate(b'\\n')\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        placement = Inspector()(process.pid)
        below = descendants(process.pid)
        process.communicate(b"\n")
    assert placement is not None
    assert len(below) == 1
    assert placement.threads == 3
    assert placement.main_thread_cpus == {min(cpus)}
    assert placement.cpus == cpus
    assert placement.pages is not None
    assert sum(placement.pages.values()) > 64 << 20
    assert placement.peak_memory_bytes > 64 << 20


def test_a_process_that_is_gone_is_nowhere(tmp_path: Path) -> None:
    assert Inspector(str(tmp_path))(1) is None
