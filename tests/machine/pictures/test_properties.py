from __future__ import annotations

import os
import re
from collections.abc import Mapping
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipexlaunch.documents.visible_text import ascii_text
from ipexlaunch.machine.cpulist import parse_list
from ipexlaunch.machine.pictures.drawing import machine_drawing
from ipexlaunch.machine.pictures.parts import Part, machine_parts
from ipexlaunch.machine.pictures.svg import machine_svg
from ipexlaunch.machine.pictures.table import machine_table, machine_tree
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.probe.sources import shipped_machines
from ipexlaunch.machine.topology import Topology
from tests.machine.pictures.machines import assignments, regular
from tests.strategies import topologies

EXAMPLES = int(os.environ.get("IPEXLAUNCH_EXAMPLES", "60"))
generated = settings(max_examples=EXAMPLES, deadline=None)  # the first drawing imports rich; time is for benchmarks/
SVG = "{http://www.w3.org/2000/svg}"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def cpus_of(part: Part) -> list[int]:
    return [cpu for core in part.cores for cpu in core] + [cpu for child in part.parts for cpu in cpus_of(child)]


def drawn_cpus(drawing: str) -> list[int]:
    """The ids in the rows of cells: runs of numbers that words do not touch."""
    lines = drawing.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("┌"))
    frame = [line for line in lines[start:] if line[:1] in "│┌└"]
    found = []
    for line in frame:
        for piece in re.split(r"│|[┌└].*?[┐┘]|  (?=[a-zA-Z])", line):
            row = re.sub(r"(idle|not allowed|allowed|instance \d+) *", "", piece)
            if re.fullmatch(r"[\d ]+", row):
                found += [int(number) for number in row.split()]
    return found


def width_of(text: str) -> int:
    return max(len(line) for line in ESCAPE.sub("", text).splitlines())


@generated
@given(st.data())
def test_every_cpu_is_in_one_part_whatever_the_machine(data: st.DataObject) -> None:
    topology = data.draw(topologies())
    parts = machine_parts(topology, data.draw(assignments(topology)))
    assert sorted(cpu for part in parts for cpu in cpus_of(part)) == [cpu.id for cpu in topology.cpus]


@generated
@given(st.data())
def test_no_line_of_a_drawing_is_longer_than_the_width(data: st.DataObject) -> None:
    topology = data.draw(topologies())
    width = data.draw(st.integers(40, 200))
    assignment = data.draw(assignments(topology))
    assert width_of(machine_drawing(topology, assignment, width=width, color=data.draw(st.booleans()))) <= width
    assert width_of(machine_table(topology, width=width)) <= width
    assert width_of(machine_tree(topology, width=width)) <= width


@generated
@given(st.data())
def test_colour_adds_escape_sequences_and_nothing_else(data: st.DataObject) -> None:
    topology = data.draw(topologies())
    assignment = data.draw(assignments(topology))
    for plain, colored in (
        (machine_drawing(topology, assignment), machine_drawing(topology, assignment, color=True)),
        (machine_table(topology), machine_table(topology, color=True)),
        (machine_tree(topology), machine_tree(topology, color=True)),
    ):
        assert "\x1b" not in plain
        assert [line.rstrip() for line in ESCAPE.sub("", colored).splitlines()] == plain.splitlines()


@generated
@given(st.data())
def test_the_svg_is_xml_and_holds_every_cpu_once_with_its_use(data: st.DataObject) -> None:
    topology = data.draw(topologies())
    assignment = data.draw(assignments(topology))
    dark = data.draw(st.booleans())
    root = ElementTree.fromstring(machine_svg(topology, assignment, title="a <b> & 'c' \x00\x1b", dark=dark))
    texts = [text for text in root.iter(f"{SVG}text") if "cpu" in text.get("class", "").split()]
    assert sorted(int(text.text or "") for text in texts) == [cpu.id for cpu in topology.cpus]
    uses = {
        int((use.text or "").split(":")[0].removeprefix("cpu ")): use.text or "" for use in root.iter(f"{SVG}title")
    }
    for cpu in topology.cpus:
        assert uses[cpu.id].endswith(", " + expected_use(topology, assignment, cpu.id))


def expected_use(topology: Topology, assignment: Mapping[int, int] | None, cpu: int) -> str:
    if assignment is not None and cpu in assignment:
        return f"instance {assignment[cpu]}"
    if cpu not in topology.allowed_cpus:
        return "not allowed"
    return "allowed" if assignment is None else "idle"


@generated
@given(st.data())
def test_nothing_in_the_svg_stands_outside_the_page(data: st.DataObject) -> None:
    topology = data.draw(topologies())
    root = ElementTree.fromstring(machine_svg(topology, data.draw(assignments(topology))))
    page = float(root.get("width", "0"))
    for rect in root.iter(f"{SVG}rect"):
        assert float(rect.get("x", "0")) + float(rect.get("width", "0")) <= page


@generated
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 20), st.integers(1, 3), st.integers(40, 160))
def test_the_terminal_drawing_writes_every_cpu_once(
    sockets: int, nodes: int, cores: int, threads: int, width: int
) -> None:
    topology = regular(sockets, nodes, cores, threads)
    drawing = machine_drawing(topology, width=width)
    assert sorted(drawn_cpus(drawing)) == [cpu.id for cpu in topology.cpus]


@generated
@given(topologies())
def test_the_tree_names_every_cpu_once(topology: Topology) -> None:
    tree = machine_tree(topology, width=10000)
    lists = re.findall(r"cpus? ([\d,-]+)$", tree, re.MULTILINE)
    assert sorted(cpu for text in lists for cpu in parse_list(text)) == [cpu.id for cpu in topology.cpus]


def test_a_drawing_without_unicode_is_ascii() -> None:
    topology = regular(2, 2, 7, 2, l3_cores=7)
    assert ascii_text(machine_drawing(topology, {0: 0, 1: 1})).isascii()


def test_two_sockets_of_sixty_four_cores_fit_a_hundred_columns() -> None:
    drawing = machine_drawing(regular(2, 1, 64, 2, l3_cores=4), {cpu: cpu // 16 for cpu in range(128)}, width=100)
    assert width_of(drawing) <= 100
    assert len(drawing.splitlines()) <= 60


@pytest.mark.parametrize("width", [0, 1, 20])
def test_a_terminal_that_is_too_narrow_gets_the_narrowest_drawing(width: int) -> None:
    assert width_of(machine_drawing(regular(2, 2, 8, 2), width=width)) <= 40


@pytest.mark.parametrize("name", shipped_machines())
def test_every_shipped_machine_can_be_drawn(name: str) -> None:
    topology = open_topology(name)
    for width in (60, 80, 100, 132):
        assert width_of(machine_drawing(topology, width=width)) <= width
        assert width_of(machine_table(topology, width=width)) <= width
        assert width_of(machine_tree(topology, width=width)) <= width
    root = ElementTree.fromstring(machine_svg(topology, title=name))
    texts = [text for text in root.iter(f"{SVG}text") if "cpu" in text.get("class", "").split()]
    assert sorted(int(text.text or "") for text in texts) == [cpu.id for cpu in topology.cpus]
