"""Which cpus a run gets: the good and the bad case of each check."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipexlaunch.machine.topology import Cpu
from tests.doctor.hosts import STATUS, answer, machine

CPU = "/sys/devices/system/cpu/"


def smt_machine(allowed: frozenset[int]) -> object:
    cpus = tuple(Cpu(id=cpu, core=cpu % 4, socket=0, node=0) for cpu in range(8))
    return replace(machine(), cpus=cpus, allowed_cpus=allowed)


def test_smt_is_a_note_because_workers_use_one_thread_per_core_anyway() -> None:
    found = answer("smt", {CPU + "smt/active": "1\n", CPU + "smt/control": "on\n"})
    assert found.severity == "note"
    assert "one thread per core" in found.message


def test_an_old_kernel_without_smt_files_is_judged_by_its_siblings() -> None:
    found = answer("smt", {CPU + "smt/active": None}, topology=smt_machine(frozenset(range(8))))
    assert (found.severity, found.evidence[0].value) == ("note", "4 of 4 cores with siblings")


def test_an_smt_state_that_is_neither_on_nor_off_is_unknown() -> None:
    assert answer("smt", {CPU + "smt/active": "7\n"}).severity == "unknown"


@pytest.mark.parametrize(
    ("control", "severity", "command"),
    [
        ("on\n", "warning", "sudo chcpu -e 4-5"),
        ("off\n", "note", ""),
        ("forceoff\n", "note", ""),
        (None, "warning", None),
    ],
)
def test_offline_cpus_count_unless_smt_was_switched_off(
    control: str | None, severity: str, command: str | None
) -> None:
    found = answer("offline-cpus", {CPU + "online": "0-3,6-7\n", CPU + "smt/control": control})
    assert found.severity == severity
    assert found.message.startswith("2 cpus of 8 offline")
    assert command is None or found.command == command


@pytest.mark.parametrize(
    ("isolated", "severity", "words"),
    [
        ("4-7\n", "warning", "4 allowed cpus isolated"),
        ("0-7\n", "warning", "8 allowed cpus isolated"),
        ("12\n", "note", "none of them ours"),
        ("\n", "ok", "No cpu"),
    ],
)
def test_isolated_cpus_matter_where_they_are_ours(isolated: str, severity: str, words: str) -> None:
    found = answer("isolated-cpus", {CPU + "isolated": isolated})
    assert found.severity == severity
    assert words in found.message


def test_isolated_cpus_come_with_a_list_that_avoids_them() -> None:
    assert answer("isolated-cpus", {CPU + "isolated": "4-7\n"}).command == "ipexlaunch --cores-list 0-3 ..."
    assert answer("isolated-cpus", {CPU + "isolated": "0-7\n"}).command == ""


def test_fewer_allowed_than_online_cpus_are_a_note_with_the_way_to_ask_why() -> None:
    status = STATUS.replace("0-7", "0-3")
    found = answer("allowed-cpus", {"/proc/self/status": status}, topology=machine(allowed_cpus=frozenset(range(4))))
    assert (found.severity, found.command) == ("note", "ipexlaunch topology --explain")
    assert found.message == "4 of 8 online cpus may be used"
    assert found.evidence[0].value == "Cpus_allowed_list: 0-3"


def test_half_a_core_is_named_because_others_share_it() -> None:
    found = answer("allowed-cpus", topology=smt_machine(frozenset({0, 1, 2, 4})))
    assert "of 2 cores only some siblings" in found.message


def test_cpus_whose_memory_is_forbidden_are_a_problem() -> None:
    found = answer("allowed-memory", topology=machine(allowed_nodes=frozenset({0})))
    assert (found.severity, found.command) == ("problem", "ipexlaunch topology --explain")
    assert "node 1" in found.message


def test_a_machine_without_nodes_has_no_forbidden_memory() -> None:
    cpus = tuple(replace(cpu, node=None) for cpu in machine().cpus)
    found = answer("allowed-memory", topology=machine(cpus=cpus, nodes=(), allowed_nodes=frozenset()))
    assert found.severity == "ok"
