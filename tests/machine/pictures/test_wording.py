from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.documents.visible_text import ascii_text, wrapped
from ipexlaunch.machine.pictures.drawing import PALETTE, Color, instance_color, machine_drawing
from ipexlaunch.machine.pictures.parts import machine_parts
from ipexlaunch.machine.pictures.svg import machine_svg
from ipexlaunch.machine.pictures.table import distance_lines, distance_rule, machine_table, machine_tree
from ipexlaunch.machine.topology import Accelerator, Topology
from ipexlaunch.machine.wording import heading_lines, machine_facts, memory_words
from ipexlaunch.plan.planner import memory_phrase
from tests.machine.pictures.machines import GIB, regular


@pytest.mark.parametrize(
    ("memory_bytes", "words"),
    [
        (0, "no memory"),
        (512 << 20, "512 MiB"),
        (3 * GIB // 2, "1.5 GiB"),
        (128 * GIB, "128 GiB"),
        (4096 * GIB, "4096 GiB"),
        (12 << 40, "12 TiB"),
    ],
)
def test_memory_is_written_in_the_unit_that_people_use(memory_bytes: int, words: str) -> None:
    assert memory_words(memory_bytes) == words


@given(st.text(alphabet="ab ,", max_size=200), st.integers(5, 60))
def test_a_wrapped_line_keeps_its_words_and_its_width(line: str, width: int) -> None:
    lines = wrapped(line, width)
    assert all(len(part) <= width for part in lines)
    assert "".join(lines).replace(" ", "") == line.replace(" ", "")


def test_a_line_is_rather_broken_after_a_comma_than_between_two_words() -> None:
    assert wrapped("2 sockets, 4 nodes, quota of 24 cpus", 30) == ["2 sockets, 4 nodes,", "  quota of 24 cpus"]


def test_the_heading_says_what_is_offline_isolated_and_limited() -> None:
    machine = replace(
        regular(1, 1, 4, 1, allowed={0, 1}),
        offline_cpus=frozenset({7}),
        isolated_cpus=frozenset({2, 3}),
        cpu_quota=1.5,
        cpu_model="Some Cpu",
    )
    assert heading_lines(machine, 200) == [
        "Some Cpu",
        "1 socket, 1 node, 4 cores of 1 thread, 4 cpus, 128 GiB, 2 of 4 cpus allowed, 1 cpu offline (7),"
        " 2 cpus isolated (2-3), quota of 1.5 cpus",
    ]


def test_a_machine_without_nodes_has_no_words_for_them() -> None:
    whole = regular(1, 1, 2, 1)
    cpus = tuple(replace(cpu, node=None) for cpu in whole.cpus)
    assert machine_facts(replace(whole, cpus=cpus, nodes=(), allowed_nodes=frozenset())) == (
        "1 socket",
        "2 cores of 1 thread",
        "2 cpus",
    )


def with_distances(matrix: list[list[int]], nodes_per_socket: int) -> Topology:
    machine = regular(len(matrix) // nodes_per_socket, nodes_per_socket, 1, 1)
    rows = (dict(enumerate(row)) for row in matrix)
    nodes = tuple(replace(node, distances=row) for node, row in zip(machine.nodes, rows, strict=True))
    return replace(machine, nodes=nodes)


def test_regular_distances_are_one_sentence() -> None:
    assert distance_rule(regular(2, 2, 1, 1)) == "10 within a node, 12 within a socket, 21 to another socket"


@pytest.mark.parametrize(
    "matrix",
    [
        [[10, 21, 31], [21, 10, 21], [31, 21, 10]],
        [[10, 20, 20], [21, 10, 20], [20, 20, 10]],
    ],
)
def test_irregular_distances_are_a_matrix_that_holds_them_all(matrix: list[list[int]]) -> None:
    _, head, *rows = distance_lines(with_distances(matrix, 1), 100)
    assert head.split() == ["0", "1", "2"]
    assert [[int(word) for word in row.replace(":", " ").split()[1:]] for row in rows] == matrix


def test_a_matrix_that_is_too_wide_is_cut_into_bands() -> None:
    matrix = [[10 + abs(row - column) for column in range(40)] for row in range(40)]
    lines = distance_lines(with_distances(matrix, 1), 60)
    assert max(map(len, lines)) <= 60
    numbers = [int(word) for line in lines[1:] if ":" in line for word in line.partition(":")[2].split()]
    assert sorted(numbers) == sorted(far for row in matrix for far in row)


def test_distances_that_are_all_alike_are_said_in_fewer_words() -> None:
    alike = [[10 if row == column else 20 for column in range(4)] for row in range(4)]
    assert distance_rule(with_distances(alike, 2)) == "10 within a node, 20 to any other"


def test_memory_that_nobody_measured_is_not_called_none() -> None:
    machine = regular(2, 1, 4, 1, memory_bytes=0)
    for drawing in (machine_drawing(machine), machine_table(machine), machine_tree(machine), machine_svg(machine)):
        assert "no memory" not in drawing


def test_memory_stands_with_the_socket_that_the_firmware_names_where_distances_tell_nothing() -> None:
    machine = with_distances([[10, 20, 20], [20, 10, 20], [20, 20, 10]], 1)
    memory = replace(machine.nodes[2], initiators=frozenset({1}))
    cpus = tuple(cpu for cpu in machine.cpus if cpu.node != 2)
    machine = replace(machine, cpus=cpus, nodes=(*machine.nodes[:2], memory), allowed_cpus=frozenset({0, 1}))
    first, second = machine_parts(machine)
    assert "node 2" not in repr(first)
    assert "node 2" in repr(second)


def test_where_the_kernel_gives_no_distances_none_are_drawn() -> None:
    machine = regular(2, 1, 1, 1)
    bare = replace(machine, nodes=tuple(replace(node, distances={}) for node in machine.nodes))
    assert distance_lines(bare, 100) == []
    assert "distances" not in machine_svg(bare)


def test_a_distance_that_is_missing_is_a_question_mark() -> None:
    machine = with_distances([[10, 20, 30], [20, 10, 20], [30, 20, 10]], 1)
    first, *others = machine.nodes
    holed = replace(machine, nodes=(replace(first, distances={0: 10}), *others))
    assert distance_lines(holed, 100)[2].split() == ["0:", "10", "?", "?"]
    assert ">?</text>" in machine_svg(holed)


def brightness(color: str) -> float:
    """Relative luminance. Source: WCAG 2.1."""
    parts = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def xterm_hex(number: int) -> str:
    """Of the colour cube of xterm's 256 colours."""
    levels = (0, 95, 135, 175, 215, 255)
    red, rest = divmod(number - 16, 36)
    return "#" + "".join(f"{levels[level]:02x}" for level in (red, *divmod(rest, 6)))


SIGHT = {
    "usual": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "without red cones": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "without green cones": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.01182, 0.04294, 0.968881),
    ),
    "without blue cones": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.3039),
    ),
}
"""Source: Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency"
(2009), severity 1, on linear RGB."""


def seen(color: str, sight: tuple[tuple[float, ...], ...]) -> tuple[float, float, float]:
    """A colour in CIELAB (D65) as somebody with that sight sees it."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    red, green, blue = (
        min(1.0, max(0.0, sum(weight * part for weight, part in zip(row, linear, strict=True)))) for row in sight
    )
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089
    fx, fy, fz = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("sight", SIGHT)
def test_colour_blind_people_can_tell_the_instances_apart(sight: str) -> None:
    for one, other in itertools.combinations(PALETTE, 2):
        assert math.dist(seen(one.hex, SIGHT[sight]), seen(other.hex, SIGHT[sight])) > 12, "2.3 is just noticeable"


@pytest.mark.parametrize("color", PALETTE)
def test_the_text_on_every_instance_colour_can_be_read(color: Color) -> None:
    for ground, text in (
        (color.hex, color.text_hex),
        (xterm_hex(color.xterm), xterm_hex(color.text_xterm)),
    ):
        light, dark = sorted((brightness(ground), brightness(text)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, "WCAG AA"


def test_the_colours_of_eight_neighbours_differ_and_come_again() -> None:
    assert len({instance_color(index).hex for index in range(8)}) == 8
    assert len({instance_color(index).xterm for index in range(8)}) == 8
    assert instance_color(8) == instance_color(0)


def test_every_drawing_has_a_likeness_in_ascii_of_the_same_width() -> None:
    machine = regular(2, 2, 6, 2, l3_cores=3, allowed=range(20))
    for drawing in (machine_drawing(machine), machine_table(machine), machine_tree(machine)):
        plain = ascii_text(drawing)
        assert plain.isascii()
        assert "?" not in plain
        assert [len(line) for line in plain.splitlines()] == [len(line) for line in drawing.splitlines()]


@pytest.mark.parametrize(
    ("policy", "nodes", "phrase"),
    [
        ("bind", {0}, "bind to node 0"),
        ("preferred", {1}, "preferred node 1"),
        ("preferred-many", {2, 3}, "preferred-many nodes 2-3"),
        ("interleave", {0, 1, 3}, "interleave over nodes 0-1,3"),
        ("weighted-interleave", {0, 2}, "weighted-interleave over nodes 0,2"),
        ("local", {0}, "local"),
        ("none", set(), "none"),
    ],
)
def test_a_memory_policy_is_a_phrase(policy: str, nodes: set[int], phrase: str) -> None:
    assert memory_phrase(policy, nodes) == phrase


def test_accelerators_stand_with_their_node() -> None:
    devices = (
        Accelerator(address="0000:3a:00.0", vendor="intel", device="0x0bd5", node=1),
        Accelerator(address="0000:3b:00.0", vendor="intel", device="0x0bd5", node=1),
        Accelerator(address="0000:5a:00.0", vendor="nvidia", device="0x2330", node=0),
    )
    machine = replace(regular(2, 1, 4, 1), accelerators=devices)
    for drawing in (machine_drawing(machine, width=200), machine_table(machine, width=200), machine_svg(machine)):
        assert "2 intel accelerators" in drawing
        assert "1 nvidia accelerator" in drawing


def test_memory_bandwidth_is_shown_where_the_firmware_tells_it() -> None:
    machine = regular(1, 1, 2, 1)
    node = replace(machine.nodes[0], read_bandwidth_mb_s=409_600)
    assert "410 GB/s" in machine_drawing(replace(machine, nodes=(node,)))


def test_the_heading_of_an_svg_is_the_title_or_else_the_cpu_and_the_instances() -> None:
    machine = replace(regular(1, 1, 2, 1), cpu_model="Some <Cpu>")
    assert ">Rack 7</text>" in machine_svg(machine, title="Rack 7")
    assert ">Some &lt;Cpu&gt;, 2 instances</text>" in machine_svg(machine, {0: 0, 1: 1})
    assert 'class="title"' not in machine_svg(regular(1, 1, 2, 1))
