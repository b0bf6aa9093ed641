"""Launching: what cannot be bound, held, started or read, and expressions for a program's output."""

from __future__ import annotations

import subprocess
import sys
import time

from ipexlaunch.launch.bind import held_to
from ipexlaunch.launch.confine import open_confinement
from ipexlaunch.launch.hold_place import hold_place
from ipexlaunch.launch.job import Job
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.wait_for_disk import DiskPatience
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.plan.plan import Request
from ipexlaunch.plan.planner import make_plan
from tests.errors.provoke import Row

PLACES = ("launch/",)

A = {"a.py": ""}
REGEX = "run --topology 1s --dry-run --throughput-regex"


def _bind(cpus: set[int]) -> None:
    with held_to(frozenset(cpus), "none", frozenset()):
        pass


def _bind_memory() -> None:
    with held_to(frozenset(), "bind", frozenset({900}), strict=True):
        pass


def _held_by_another() -> None:
    hold_place("x.hold", "write x", "wait")


def _held_for_a_moment() -> None:
    hold_place("x.hold", "write x", "wait for its end")


def _left_by_a_dead_one() -> None:
    taken = "import os; from ipexlaunch.launch.hold_place import hold_place; hold_place('x.hold', '', ''); os._exit(0)"
    subprocess.run([sys.executable, "-c", taken], check=True)


def _variable_without_a_name() -> None:
    plan = make_plan(synthetic_machine("1s"), Request())
    make_launch(plan, Job(program="a.py", environment={"": "1"}), {})


def _hung() -> None:
    patience = DiskPatience(0.2, lambda: True, print)
    patience.have(lambda: time.sleep(1.0), "write the report to x", "name another disk")


ROWS = [
    Row(lambda: _bind({4000}), name="held_to(cpu 4000)"),
    Row(lambda: _bind({0, 4000}), name="held_to(cpus 0 and 4000)"),
    Row(_bind_memory, name="held_to(memory of node 900, strict)"),
    Row(lambda: open_confinement("yes", root="nowhere"), name="open_confinement('yes', a tree without cgroups)"),
    Row(
        _held_by_another,
        {"x.hold": '{"pid": 1, "host": "elsewhere", "since": "now"}'},
        name="hold_place(another host's)",
    ),
    Row(_held_for_a_moment, {"x.hold.turn": ""}, before=_left_by_a_dead_one, name="hold_place(others at it)"),
    Row(_variable_without_a_name, name="make_launch(a variable without a name)"),
    Row("run --topology '2s 1c' --ninstances 2 --dry-run --port 65535 a.py {port}", A),
    Row(f"{REGEX} '(' a.py", A),
    Row(f"{REGEX} 'x' a.py", A),
    Row(f"{REGEX} '(?P<items>x)(?P<total>y)' a.py", A),
    Row(f"{REGEX} '(?P<other>x)' a.py", A),
    Row(f"{REGEX} '(?P<rate>x)(?P<tokens>y)' a.py", A),
    Row(f"{REGEX} '(x{{999999}})' a.py", A),
    Row(_hung, name="DiskPatience.have(a disk that hangs)"),
    Row(
        lambda: DiskPatience(1.0, lambda: False, print).write("f/x", "", "write f/x"),
        {"f": ""},
        name="DiskPatience.write(below a file)",
    ),
]

ELSEWHERE = {
    "confine instance {instance.index}": "tests/launch/test_confine.py::test_with_yes_such_a_worker_is_not_started",
}
"""A cgroup that goes away between two steps."""
