"""What every machine gets where nothing is asked: instances, share of the allowed cores, the reason where it is low.

`python -m tests.plan.naive` writes tests/plan/naive/*.txt anew; read the difference before committing it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.probe.sources import shipped_machines
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.planner import plan_notes

HERE = Path(__file__).with_name("naive")
VARIABLE = "IPEXLAUNCH_TOPOLOGIES"
SAVED = Path(os.environ.get(VARIABLE) or Path(__file__).resolve().parents[2] / "../shared/topologies/dev")
"""Real machines that are not part of the repository."""

ENOUGH = 0.95


def sources(table: str) -> dict[str, str]:
    """Name to source of the machines of a table, "shipped" or "saved"."""
    if table == "shipped":
        return {name: name for name in shipped_machines()}
    return {path.name.removesuffix(".tar.xz"): str(path) for path in sorted(SAVED.glob("*.tar.xz"))}


def rows(table: str) -> Iterator[tuple[str, float, tuple[str, ...], str]]:
    """Name, share of the allowed cores that is used, notes, and the line for the table."""
    for name, source in sources(table).items():
        topology = open_topology(source)
        plan = make_plan(topology, Request())
        sizes = sorted({len({topology.by_cpu[cpu].core for cpu in i.cpus}) for i in plan.instances})
        used = {topology.by_cpu[cpu].core for instance in plan.instances for cpu in instance.cpus}
        allowed = {topology.by_cpu[cpu].core for cpu in topology.allowed_cpus}
        share = len(used) / len(allowed)
        notes = plan_notes(topology, plan)
        shape = f"{len(plan.instances)} x {'-'.join(map(str, sizes))}"
        line = f"{name}: {shape}, {len(used)} of {len(allowed)} ({int(share * 100)} %)"
        yield name, share, notes, "\n".join([line, *(f"  {note}" for note in notes)])


def text(table: str) -> str:
    """The whole table."""
    return "\n".join(line for *_, line in rows(table)) + "\n"


def main() -> None:
    """Write both tables."""
    HERE.mkdir(exist_ok=True)
    for table in ("shipped", "saved"):
        if sources(table):
            (HERE / f"{table}.txt").write_text(text(table), encoding="utf-8")


if __name__ == "__main__":
    main()
