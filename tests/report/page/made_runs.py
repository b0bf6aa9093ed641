"""Runs that nobody had to wait for: made by a rule, kept in real run directories."""

from __future__ import annotations

import random
from pathlib import Path

from ipexlaunch.launch.job import Job
from ipexlaunch.launch.placement.placement import Binding, Placement, Resident
from ipexlaunch.launch.run_record import Announced, Run, Samples, Spent, WorkerRecord
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.machine.topology import Topology
from ipexlaunch.measure.report import aggregate
from ipexlaunch.measure.scaling import Baseline
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.report.kept_runs.run_directory import finish_run_directory, make_run_directory
from ipexlaunch.report.kept_runs.run_documents import RunCommand

MIB = 1 << 20


def made_run(
    topology: Topology, instances: int, seconds: float, per_second: float, seed: int = 0, phase: str = "loading"
) -> tuple[Run, Request]:
    """A run in which every instance counts so often, each a little faster or slower than the others.

    Args:
        topology: the machine.
        instances: how many.
        seconds: of work.
        per_second: counts of 8 items.
        seed: of the differences.
        phase: what they do first.
    """
    chance = random.Random(seed)
    request = Request(ninstances=instances)
    records = []
    for instance in make_plan(topology, request).instances:
        told, samples = Announced(), Samples()
        told.begin_phase(phase, 100.2, Spent(1.2, 140 * MIB))
        name, spent = "compiling" if instance.index % 4 == 0 else "waiting for compilation", Spent(1.8, 400 * MIB)
        told.begin_phase(name, 103.0, spent)
        told.ready_spent = Spent(8.0 if instance.index % 4 == 0 else 2.0, 900 * MIB)
        ready = 109.0 + chance.random()
        told.end_phase(ready)
        told.facts["dtype"] = "bf16"
        time, speed = 110.0, chance.uniform(0.9, 1.1)
        while time < 110 + seconds * chance.uniform(0.97, 1.0):
            latency = chance.lognormvariate(0, 0.2) / (per_second * speed)
            time += latency
            samples.add(time, 8, tokens=900, latency_s=latency)
        node = min(instance.nodes)
        placement = Placement(
            cpus=instance.cpus, threads=instance.threads + 3, pinned_threads=0, main_thread_cpus=instance.cpus,
            pages={node: 900 * MIB, (node + 1) % 8: 12 * MIB}, peak_memory_bytes=950 * MIB,
            resident=Resident(private_bytes=100 * MIB, shared_bytes=850 * MIB, proportional_bytes=300 * MIB),
        )  # fmt: skip
        records.append(
            WorkerRecord(
                instance=instance, pid=1000 + instance.index, started=100.0 + instance.index / 100, ready=ready,
                finished=time + 0.01, exit_code=0, samples=samples, placements=(placement,), cpu_s=3.0, told=told,
                binding=Binding(cpus=instance.cpus, memory="bind", nodes=instance.nodes), exited=time + 0.4,
            )
        )  # fmt: skip
    run = Run(
        records=records, started=99.9, go=110.0, ended=records[0].samples.times[-1] + 20, failures=(), signal=None,
        exit_code=0,
    )  # fmt: skip
    return run, request


def keep_made_run(
    path: Path,
    sentence: str,
    instances: int,
    seconds: float = 30.0,
    per_second: float = 10.0,
    seed: int = 0,
    phase: str = "loading",
) -> None:
    """Write such a run to a directory, with what one instance would have done alone.

    Args:
        path: the directory.
        sentence: the machine.
        instances: how many.
        seconds: of work.
        per_second: counts of 8 items.
        seed: of the differences.
        phase: what they do first.
    """
    topology = synthetic_machine(sentence)
    run, request = made_run(topology, instances, seconds, per_second, seed, phase)
    job = Job(program="embed.py", arguments=("--batch", "8"))
    recorded = RunCommand(command="run", directory="/home/user", job=job)
    baseline = Baseline(index=0, rate=8 * per_second * 1.2, items=100, seconds=1.0)
    report = aggregate(run, {"program": ["embed.py", "--batch", "8"], "kernel": "6.1.0"}, baseline=baseline)
    make_run_directory(str(path), recorded, make_plan(topology, request), topology)
    finish_run_directory(str(path), run, report, {"schema": "ipexlaunch/environment/1", "microcode": "0x1"})
