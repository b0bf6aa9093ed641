"""Planning: requests that a machine cannot meet, plans that do not fit it, and what cannot be exported."""

from __future__ import annotations

from dataclasses import asdict

from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.plan.export_systemd import service_unit
from ipexlaunch.plan.own_launch import OwnLaunch
from ipexlaunch.plan.plan import Request
from ipexlaunch.plan.planner import make_plan
from tests.errors.provoke import Row

PLACES = ("plan/",)

M = "--topology '1s 2n 4c 2t'"
"""Two nodes of four cores."""

NO_MEMORY = """\
schema: ipexlaunch/topology/1
source: made
cpus:
- {id: 0, core: 0, socket: 0, node: 0, l2: null, l3: null, kind: null}
nodes:
- {id: 0, memory_bytes: 1073741824, distances: {"0": 10}}
allowed_cpus: "%s"
allowed_nodes: "%s"
cpu_quota: null
isa: []
"""

LIMITED = NO_MEMORY % ("0", "0") + "memory_limit_bytes: 536870912\n"

PLAN = """\
schema: ipexlaunch/plan/1
topology: "%s"
request: {}
instances:
- {index: 0, cpus: "%s", nodes: "0", memory: bind, threads: 1}
idle_cpus: ""
"""
HERE = synthetic_machine("1s 1n 2c 1t").fingerprint


def _accelerators_of_a_plan(line: str, request: str = "{device: xpu}") -> Row:
    plan = f'schema: ipexlaunch/plan/1\ntopology: "{synthetic_machine("2s 2c 1t 2xpu").fingerprint}"\n'
    plan += f'request: {request}\ninstances:\n- {{index: 0, cpus: "0-1", nodes: "0", memory: bind, threads: 2'
    return Row("plan --plan p.yaml --topology '2s 2c 1t 2xpu'", {"p.yaml": f'{plan}{line}}}\nidle_cpus: "2-3"\n'})


def _check_numbers(request: Request) -> Row:
    given = {key: value for key, value in asdict(request).items() if value != getattr(Request(), key)}
    return Row(request.check, name=f"Request({given}).check()")


def _unit_of_nothing() -> None:
    service_unit(make_plan(synthetic_machine("1s 2c"), Request()), OwnLaunch(program=("serve",)))


ROWS = [
    # how many and how large
    Row(f"plan {M} --ninstances 3 --ncores-per-instance 4"),
    Row(f"plan {M} --ninstances 4 --ncores-per-instance 3"),
    Row(f"plan {M} --ninstances 9"),
    Row(f"plan {M} --ncores-per-instance 9"),
    Row(f"plan {M} --greedy --ninstances 3 --scope socket --memory-per-instance 900GiB"),
    Row(f"plan {M} --greedy --ninstances 2 --memory-per-instance 900GiB"),
    Row("plan --topology '1s 4n 2c' --greedy --ninstances 2 --memory-per-instance 900GiB"),
    Row("plan --topology m.yaml --greedy --memory-per-instance 1GiB", {"m.yaml": LIMITED}),
    Row(f"plan {M} --memory-per-instance 900GiB"),
    Row(f"plan {M} --group 3x4"),
    Row(f"plan {M} --group 1x9"),
    Row("plan --topology '1s 2n 4c 2t 4GiB' --ninstances 2 --memory-per-instance 9GiB"),
    Row("plan --topology '1s 2n 4c 2t 4GiB' --group 2x2@node0 --memory-per-instance 9GiB"),
    Row(f"plan {M} --group 2x3x4"),
    Row(f"plan {M} --group 0x4"),
    Row(f"plan {M} --group 1x4@node7"),
    Row(f"plan {M} --group 3x3@node0"),
    Row("plan --topology m.yaml --ninstances 1 --memory-per-instance 1GiB", {"m.yaml": LIMITED}),
    Row(
        "plan --topology threadripper-1s-4n-8c-2t-memoryless --scope machine --ninstances 5 "
        "--memory-per-instance 12.8GiB"
    ),
    _check_numbers(Request(ninstances=0)),
    _check_numbers(Request(ncores_per_instance=-3)),
    _check_numbers(Request(reserve_cores=-1)),
    _check_numbers(Request(memory_per_instance_bytes=0)),
    Row(f"plan {M} --latency-mode --throughput-mode"),
    # which cpus and nodes
    Row(f"plan {M} --cores-list 0-99"),
    Row(f"plan {M} --cores-list ''"),
    Row(f"plan {M} --cores-list 0-3,!0-3"),
    Row(f"plan {M} --cores-list 0-3:0"),
    Row(f"plan {M} --cores-list +99"),
    Row(f"plan {M} --cores-list '0-1|2-3' --ninstances 3"),
    Row(f"plan {M} --cores-list '0-1|2-3' --ncores-per-instance 3"),
    Row(f"plan {M} --cores-list '0-1|1-2'"),
    Row(f"plan {M} --cores-list 0-7 --nodes-list 1"),
    Row("plan --topology m.yaml --nodes-list 0", {"m.yaml": NO_MEMORY % ("", "0")}),
    Row("plan --topology xeon-max-2s-1n-52c-2t-hbm-flat --nodes-list 2"),
    Row("plan --topology arm-1s-4c-1t-no-nodes --nodes-list 0"),
    Row(f"plan {M} --reserve-cores 4"),
    Row(f"plan {M} --memory hbm"),
    Row("plan --topology m.yaml", {"m.yaml": NO_MEMORY % ("0", "")}),
    Row(f"plan {M} --memory-per-instance 24"),
    Row(f"plan {M} --memory-per-instance 0GiB"),
    Row(f"run {M} --dry-run --ninstances 2 --instance-idx '' true.py", {"true.py": ""}),
    Row(f"run {M} --dry-run --ninstances 2 --instance-idx 5 true.py", {"true.py": ""}),
    # accelerators
    Row(f"plan {M} --device xpu"),
    Row(f"plan {M} --accelerators 0"),
    Row("plan --topology '2s 8c 2xpu' --device xpu --ninstances 3"),
    Row("plan --topology '2s 8c 2xpu' --device xpu --ncores-per-instance 9"),
    _accelerators_of_a_plan(", accelerator: xpu:7"),
    _accelerators_of_a_plan(""),
    _accelerators_of_a_plan(", accelerator: xpu:0", "{}"),
    _accelerators_of_a_plan(", accelerator: xpu:1"),
    _accelerators_of_a_plan("", "{device: xpu, accelerators: 9}"),
    # plans from files
    Row("plan --plan p.yaml --topology '1s 1n 2c 1t'", {"p.yaml": PLAN % ("0", "0")}),
    Row("plan --plan p.yaml --topology '1s 1n 2c 1t'", {"p.yaml": PLAN % (HERE, "7")}),
    # exports
    Row("plan --topology '2s 8c 2xpu' --device xpu --export kubernetes -- image a.py"),
    Row(f"plan {M} --export kubernetes -- image a.py"),
    Row(f"plan {M} --export kubernetes --memory-per-instance 1GiB -- image"),
    Row(f"plan {M} --export systemd -- a.py"),
    Row(_unit_of_nothing, name="service_unit(nothing to serve)"),
    Row(OwnLaunch(program=("batch",), hosts=2).check, name="OwnLaunch.check"),
]

ELSEWHERE: dict[str, str] = {}
