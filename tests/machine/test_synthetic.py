from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.errors import RequestError
from ipexlaunch.machine.synthetic import is_synthetic, synthetic_machine


def test_accelerators_are_dealt_to_the_nodes() -> None:
    topology = synthetic_machine("2s 2n 4c 3xpu 4cuda")
    nodes = {vendor: [a.node for a in topology.accelerators if a.vendor == vendor] for vendor in ("intel", "nvidia")}
    assert nodes == {"intel": [0, 1, 2], "nvidia": [0, 1, 2, 3]}
    addresses = [accelerator.address for accelerator in topology.accelerators]
    assert addresses == sorted(set(addresses))
    assert synthetic_machine("2s 4c").accelerators == ()
    many = synthetic_machine("1s 4c 999xpu").accelerators
    assert len({accelerator.address for accelerator in many}) == 999


def test_the_numbering_is_intels_first_siblings_first() -> None:
    machine = synthetic_machine("2s 2n 28c 2t")
    assert len(machine.cpus) == 224
    assert machine.cores[0] == {0, 112}
    places = [(machine.by_cpu[cpu].socket, machine.by_cpu[cpu].node) for cpu in (0, 28, 56)]
    assert places == [(0, 0), (0, 1), (1, 2)]
    assert machine.by_cpu[112 + 83].core == 83
    assert machine.by_cpu[83].l3 == 56
    assert machine.by_node[1].distances == {0: 12, 1: 10, 2: 21, 3: 21}
    assert machine.source == "made:2s 2n 28c 2t"


def test_unequal_nodes() -> None:
    machine = synthetic_machine("  43+43+42c   2s 2t 3n 96GiB ")
    sizes = Counter(cpu.node for cpu in machine.cpus)
    assert [sizes[node] for node in range(6)] == [86, 86, 84] * 2
    assert machine.by_node[5].memory_bytes == 96 << 30
    assert machine.allowed_nodes == set(range(6))


@given(st.integers(1, 8), st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 4))
def test_every_cpu_has_one_core_of_one_node_of_one_socket(sockets: int, cores: list[int], threads: int) -> None:
    machine = synthetic_machine(f"{sockets}s {'+'.join(map(str, cores))}c {threads}t")
    assert [cpu.id for cpu in machine.cpus] == list(range(sockets * sum(cores) * threads))
    assert all(min(cpus) == core and len(cpus) == threads for core, cpus in machine.cores.items())
    per_node = Counter(cpu.node for cpu in machine.cpus)
    assert [per_node[node] for node in range(len(machine.nodes))] == [count * threads for count in cores] * sockets
    assert machine.allowed_cpus == set(range(len(machine.cpus)))


def test_what_is_left_out_is_one() -> None:
    assert synthetic_machine("4c").cpus == synthetic_machine("1s 1n 4c 1t").cpus
    assert len(synthetic_machine("3s 2n").cpus) == 6
    assert len(synthetic_machine("2t").cores) == 1
    assert synthetic_machine("1s 512MiB").nodes[0].memory_bytes == 512 << 20


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("2s 2q", "'2q' is no word of such a sentence"),
        ("2s 3s", "the sockets stand there twice"),
        ("2c 2+3c", "the cores stand there twice"),
        ("0s", "'0s': there must be at least 1"),
        ("2+0c", "'2+0c': there must be at least 1"),
        ("0GiB", "'0GiB': there must be at least 1"),
        ("2n 3+3+3c", "it says 2 nodes per socket and lists the cores of 3; leave out '2n'"),
        ("9999999s 9999999n 9999999c", "cpus; at most 65536 can be described"),
        ("2000s 1c", "it has more than 1024 nodes"),
        ("2s ٣c", "is no word of such a sentence"),
        ("99999999s", "is no word of such a sentence"),
    ],
)
def test_mistakes_are_answered_with_what_would_work(text: str, words: str) -> None:
    with pytest.raises(RequestError, match=re.escape(words)):
        synthetic_machine(text)


def test_a_sentence_is_told_from_a_file_name() -> None:
    assert is_synthetic("2s 28c 2q")
    assert is_synthetic("43+43+42c")
    assert is_synthetic("64GiB")
    assert not is_synthetic("xeon-spr-2s-4n-14c-2t")
    assert not is_synthetic("")
