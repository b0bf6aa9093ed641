"""Memory that workers share, in real multi-node Linux: weights lie on their nodes, inherited pages where they were."""

from __future__ import annotations

from typing import Any

import pytest

from tests.guest.findings import view_of
from tests.guest.shape import Shape
from tests.guest.shared_memory_view import WEIGHTS_BYTES

pytestmark = [pytest.mark.guest, pytest.mark.slow]

SECONDS = 600.0
"""One minute where nobody else works."""

TWO_NODES = Shape(about="2 sockets of 1 node of 2 cores", sockets=2, nodes_per_socket=1, cores_per_node=2)


@pytest.fixture(scope="module")
def view() -> dict[str, Any]:
    return view_of("shared_memory_view", TWO_NODES, SECONDS)


def test_shared_weights_lie_on_the_node_of_their_workers_and_once_on_each(view: dict[str, Any]) -> None:
    report = view["weights"]["report"]
    assert report is not None, view["weights"]["stderr"]
    assert report["valid"], report["reasons"]
    paths: dict[str, set[str]] = {}
    for instance in report["instances"]:
        facts = instance["facts"]
        assert facts["pages"] == {instance["nodes"]: -(-facts["mapped_bytes"] // 4096)}
        assert facts["mapped_bytes"] > WEIGHTS_BYTES
        paths.setdefault(instance["nodes"], set()).add(facts["path"])
    assert sorted(paths) == ["0", "1"]
    (first,), (second,) = paths.values()
    assert first != second


def test_a_child_of_a_template_on_its_node_is_valid_and_one_of_another_nodes_is_not(view: dict[str, Any]) -> None:
    own, other = view["forked"]["children"]
    assert (own["cpus"], other["cpus"]) == (view["forked"]["cpus"][1], view["forked"]["cpus"][0])
    assert own["share"] > 0.95
    assert own["reasons"] == []
    assert other["share"] < 0.05
    assert len(other["reasons"]) == 1
    assert "come from a process that is bound elsewhere" in other["reasons"][0]
