"""The parts of the test bed that need no guest."""

from __future__ import annotations

import errno
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

from tests.guest.firmware import madt
from tests.guest.initramfs import initramfs
from tests.guest.kernel import CACHE_VARIABLE, DEB_VARIABLE, GuestMissingError, ready_kernel
from tests.guest.machine import shape_arguments
from tests.guest.refuse_memory_policy import REFUSED, filter_program
from tests.guest.scripts import start_script
from tests.guest.shape import SHAPES, Shape

ANY = SHAPES["2s2n-smt"]
FILTER = Path(__file__).with_name("refuse_memory_policy.py")

every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


@every_shape
def test_cpu_numbers_and_apic_ids_are_unique_and_cpu_0_is_the_first_core_of_the_first_socket(shape: Shape) -> None:
    assert [cpu.id for cpu in shape.cpus] == list(range(len(shape.cpus)))
    assert len({cpu.apic_id for cpu in shape.cpus}) == len({cpu.uid for cpu in shape.cpus}) == len(shape.cpus)
    assert (shape.cpus[0].apic_id, shape.cpus[0].uid) == (0, 0)  # the boot processor


def test_apic_ids_leave_room_where_a_count_is_no_power_of_two() -> None:
    shape = Shape(about="", sockets=2, nodes_per_socket=1, cores_per_node=3, threads=2, numbering="adjacent")
    assert [cpu.apic_id for cpu in shape.cpus] == [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13]


def test_each_numbering_counts_up_what_it_is_named_for() -> None:
    def places(numbering: str) -> list[tuple[int, int]]:
        shape = Shape(about="", sockets=2, nodes_per_socket=1, cores_per_node=2, threads=2, numbering=numbering)  # type: ignore[arg-type]  # one of the three
        return [(cpu.socket, cpu.core) for cpu in shape.cpus]

    assert [len(list(run)) for _, run in groupby(places("adjacent"))] == [2, 2, 2, 2]
    assert places("cores-first") == 2 * [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert places("sockets-in-turn") == 2 * [(0, 0), (1, 0), (0, 1), (1, 1)]


@every_shape
def test_distances_are_symmetric_and_least_to_the_node_itself(shape: Shape) -> None:
    nodes = range(len(shape.node_sizes_mib))
    for one in nodes:
        assert all(shape.distance(one, other) == shape.distance(other, one) for other in nodes)
        assert min(nodes, key=lambda other: shape.distance(one, other)) == one


@every_shape
def test_the_cpu_table_adds_up_to_zero_and_tells_its_length(shape: Shape) -> None:
    table = madt(shape)
    assert sum(table) % 256 == 0
    assert int.from_bytes(table[4:8], "little") == len(table)


def test_a_memoryless_node_gets_no_memory_from_qemu() -> None:
    arguments = shape_arguments(SHAPES["memoryless"])
    assert "node,nodeid=1" in arguments
    assert "node,nodeid=0,memdev=memory0" in arguments


def test_the_archive_has_the_cpu_table_first_and_ends_with_its_trailer() -> None:
    archive = initramfs(ANY, b"busybox", {"one": b"module"})
    assert archive.startswith(b"070701")
    assert archive.index(b"kernel/firmware/acpi/madt.aml\0") < archive.index(b"bin/busybox\0")
    assert b"TRAILER!!!\0" in archive[-16:]
    assert len(archive) % 4 == 0


def test_arguments_reach_the_command_byte_for_byte(tmp_path: Path) -> None:
    words = ["printf", "%s|", "a b", "$HOME", "'", '"', "*", ""]
    script = start_script(ANY, words, environment={"PATH": "/usr/bin:/bin"}, directory=tmp_path)
    (line,) = [line for line in script.splitlines() if "/usr/bin/env -i" in line]
    command, _, _ = line.rpartition(" < /dev/null")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "a b|$HOME|'|\"|*||"


def test_the_filter_refuses_memory_policy_and_nothing_else() -> None:
    probe = (
        "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)\n"
        f"print([(libc.syscall(call, 0, 0, 0, 0, 0), ctypes.get_errno()) for call in {REFUSED}])\n"
        "print(len(os.sched_getaffinity(0)) > 0)\n"
    )
    command = [sys.executable, "-I", "-S", str(FILTER), sys.executable, "-I", "-S", "-c", probe]
    done = subprocess.run(command, capture_output=True, text=True)
    if "the seccomp filter was refused" in done.stderr:
        pytest.skip(f"no seccomp here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str([(-1, errno.EPERM)] * len(REFUSED)), "True"]


def test_every_jump_of_the_filter_ends_at_a_return() -> None:
    program = filter_program(REFUSED)
    steps = [program[start : start + 8] for start in range(0, len(program), 8)]
    returns = {index for index, step in enumerate(steps) if int.from_bytes(step[:2], "little") == 0x06}
    refusal = len(steps) - 1
    assert returns == {refusal - 1, refusal}
    for index, step in enumerate(steps[3 : 3 + len(REFUSED)], start=3):
        assert index + 1 + step[2] == refusal


def test_a_file_that_is_no_kernel_package_is_told_from_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.deb").write_text("no package")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(DEB_VARIABLE, str(tmp_path / "other.deb"))
    with pytest.raises(GuestMissingError, match=r"other.deb is no kernel package|not found"):
        ready_kernel()


def test_without_qemu_the_reason_names_it_and_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GuestMissingError, match=r"qemu-system-x86_64.*not found.*apt-get install qemu-system-x86"):
        ready_kernel()
