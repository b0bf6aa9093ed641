"""The driver's section on the doctor: its findings in the guest, about a file whose pages lie on a known node."""

from __future__ import annotations

from pathlib import Path

from ipexlaunch.cli.doctor_command import gather_facts
from ipexlaunch.doctor.run_checks import examine
from ipexlaunch.launch.bind import held_to
from tests.guest.scenarios import scenarios
from tests.guest.shape import Shape

MODEL = Path("/dev/shm/model")
MODEL_PAGES = 2048
PAGE_BYTES = 4096


def model_node(shape: Shape) -> int:
    """Where the file's pages lie: the farthest node; where binding is refused, that of the cpus that write it."""
    near, far, *_ = scenarios(shape)
    return near.nodes[0] if shape.refuse_memory_policy else far.nodes[0]


def doctor(shape: Shape) -> object:
    """Every finding, as `ipexlaunch doctor --model` has it."""
    far = scenarios(shape)[1]
    with held_to(far.cpus, far.policy, frozenset(far.nodes)):
        MODEL.write_bytes(bytes(MODEL_PAGES * PAGE_BYTES))
    try:
        found = examine(gather_facts("/", None, (str(MODEL),)))
    finally:
        MODEL.unlink()
    return [
        {
            "check": finding.check,
            "severity": finding.severity,
            "message": finding.message,
            "evidence": [[seen.where, seen.value] for seen in finding.evidence],
        }
        for finding in found
    ]
