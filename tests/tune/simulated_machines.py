"""Machines that exist as formulas: what a program's rate would be for every setting, and what a run of it measures.

The truth of a setting has what makes real splits differ: calls that scale badly over threads, memory bandwidth of a
node that saturates, weights and activations that fit into a share of the L3 cache or do not, siblings that help or
hurt, cores that slow each other down, an interpreter's fixed cost of each call, memory that is too small. A run of it
has noise, drift and now and then a disturbance, as runs on shared hosts have.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Instance, Request
from ipexlaunch.tune.next_step import Measure
from ipexlaunch.tune.space import Setting, Space, splits_of
from ipexlaunch.tune.trial import Trial

GB = 1e9
SHAPES = (
    "1s 1n 8c 2t", "1s 1n 16c 2t", "1s 1n 32c 1t", "1s 2n 24c 2t", "1s 4n 16c 2t", "2s 1n 4c 1t", "2s 1n 8c 2t",
    "2s 1n 16c 2t", "2s 1n 28c 2t", "2s 1n 32c 2t", "2s 1n 56c 2t", "2s 2n 12c 2t", "2s 2n 28c 1t", "2s 4n 16c 2t",
    "2s 43+43+42c 2t", "4s 1n 18c 2t", "4s 1n 24c 1t", "4s 2n 10c 2t", "8s 1n 12c 2t", "8s 1n 28c 2t",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Program:
    """A model, as far as its speed depends on how it is run."""

    flops: float
    """Of one item, in seconds of one core at full speed."""
    weights_bytes: float
    activation_bytes: float
    """Traffic and working set of one item."""
    serial_s: float
    """Of each call, whatever its batch: the interpreter."""
    sync_s: float
    """Of each call, for every doubling of threads."""
    half_batch: float
    """Batch at which the kernels reach half of their speed."""
    base_bytes: float
    """Memory of a worker beside its weights and activations."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """What the formulas need to know of the machine beside its topology."""

    bandwidth: float
    """Bytes per second of a node."""
    core_bandwidth: float
    """That one core can take of it."""
    l3_bytes: float
    """Of a node."""
    sibling_gain: float
    """Speed that a second thread adds to its core; negative where they are in each other's way."""
    remote: float
    """Speed of memory of another node, as a share of one's own."""
    slowdown: float
    """Share of the clock that is lost where all cores work."""
    start_s: float
    """To load the program."""
    noise: float
    drift: float
    disturbed: float
    """Chance that a run meets somebody else's work."""


@dataclass(kw_only=True)
class SimulatedMachine:
    """One program on one machine: the truth, and runs that measure it."""

    topology: Topology
    space: Space
    program: Program
    host: Host
    numbers: dict[str, tuple[float, float]]
    """Numbers to (time, weights) relative to the first."""
    factors: dict[str, float]
    """Allocator or runtime to what it does to the time of calls, or to their synchronisation."""
    full_seconds: float
    chance: random.Random
    clock_s: float = 0.0
    phase: float = 0.0
    measured_s: float = 0.0
    """Of all runs, loading not counted."""
    runs: list[Trial] = field(default_factory=list)
    _truth: dict[Setting, float | None] = field(default_factory=dict)

    def truth(self, setting: Setting) -> float | None:
        """Items per second without noise; None where it fails for want of memory."""
        if setting not in self._truth:
            self._truth[setting] = self._rate(setting)
        return self._truth[setting]

    def _rate(self, setting: Setting) -> float | None:
        plan, nodes = self.space.plan_of(setting), {node.id: node for node in self.topology.nodes}
        need, load = dict.fromkeys(nodes, 0.0), dict.fromkeys(nodes, 0.0)
        memory = self._memory_of_one(setting)
        for instance in plan.instances:
            for node in instance.nodes:
                need[node] += memory / len(instance.nodes)
                load[node] += 1 / len(instance.nodes)
        if any(need[node] > nodes[node].memory_bytes for node in nodes):
            return None
        used = len({self.topology.by_cpu[c].core for i in plan.instances for c in i.cpus}) / len(self.topology.cores)
        kinds: dict[tuple[int, int, float], float] = {}
        total = 0.0
        for instance in plan.instances:
            kind = (len(instance.cpus), len(instance.nodes), max(load[node] for node in instance.nodes))
            if kind not in kinds:
                kinds[kind] = self._rate_of_one(setting, instance, kind[2], used)
            total += kinds[kind]
        return total

    def _memory_of_one(self, setting: Setting) -> float:
        p = self.program
        weights = p.weights_bytes * self.numbers[setting.numbers][1]
        return p.base_bytes + weights + 4 * setting.batch_size * p.activation_bytes

    def _rate_of_one(self, setting: Setting, instance: Instance, neighbours: float, used: float) -> float:
        """Items per second of one instance.

        Args:
            setting: what runs.
            instance: where.
            neighbours: instances that share its busiest node, itself counted.
            used: share of all cores that work.
        """
        p, h, batch = self.program, self.host, setting.batch_size
        time_factor, weight_factor = self.numbers[setting.numbers]
        cores = len({self.topology.by_cpu[cpu].core for cpu in instance.cpus})
        threads, spread = len(instance.cpus), len(instance.nodes)
        speed = cores * (1 + (h.sibling_gain if threads > cores else 0.0)) * (1 - h.slowdown * used)
        interleaved = spread > 1 and setting.memory == "interleave"
        compute = p.flops * time_factor * (batch + p.half_batch) / speed
        sync = p.sync_s * math.log2(1 + threads) * self.factors[setting.runtime] * (1 + 0.5 * (spread - 1))
        share = h.l3_bytes * spread / neighbours
        weights, activations = p.weights_bytes * weight_factor, p.activation_bytes * batch
        missing = 1 / (1 + (share / (weights + activations)) ** 3)
        bandwidth = min(h.bandwidth * spread / neighbours, h.core_bandwidth * cores)
        if spread > 1:
            bandwidth *= (1 + h.remote) / 2 if interleaved else 0.6 * h.remote + 0.2
        traffic = (weights + activations * (1.5 if threads > cores else 1.2)) * missing
        parallel = (compute**4 + (traffic / bandwidth) ** 4) ** 0.25  # the slower of both, with a soft edge
        call: float = (p.serial_s + sync + parallel) * self.factors[setting.allocator]
        return batch / call

    def measure(self, step: Measure) -> Trial:
        """A run of a setting, with noise and drift; the clock goes on."""
        h, truth = self.host, self.truth(step.setting)
        cost = h.start_s * self.chance.uniform(0.9, 1.2)
        run = Trial(setting=step.setting, seconds=step.seconds, round=step.round, cost_s=cost, trouble="out of memory")
        if truth is not None:
            cost += step.seconds
            self.measured_s += step.seconds
            length = math.sqrt((1 + self.full_seconds / step.seconds) / 2)
            error = self.chance.gauss(0, h.noise * length)
            error += h.drift * math.sin(self.phase + self.clock_s / 97) + h.drift * math.sin(self.clock_s / 613)
            if self.chance.random() < h.disturbed:
                error -= self.chance.uniform(0.05, 0.3)
            run = Trial(
                setting=step.setting,
                seconds=step.seconds,
                round=step.round,
                rate=truth * math.exp(error),
                peak_bytes=int(self._memory_of_one(step.setting)),
                cost_s=cost,
            )
        self.clock_s += cost
        self.runs.append(run)
        return run

    def best(self) -> float:
        """The rate of the best of all settings: what an exhaustive search without noise finds."""
        return max(rate for setting in self.space.settings() if (rate := self.truth(setting)) is not None)

    def exhaustive_s(self) -> float:
        """What a single full-length run of every setting would measure, loading not counted."""
        return self.full_seconds * sum(self.truth(setting) is not None for setting in self.space.settings())


def random_machine(seed: int) -> SimulatedMachine:
    """A machine with a program, the same for the same seed; more than half have thousands of settings."""
    r = random.Random(seed)
    memory = r.choice([16, 64, 256])
    topology = synthetic_machine(f"{r.choice(SHAPES)} {memory}GiB")
    flops = 10 ** r.uniform(-3.5, 0.3)
    weights = 10 ** r.uniform(6.5, 10)
    program = Program(
        flops=flops,
        weights_bytes=weights,
        activation_bytes=10 ** r.uniform(5, 7.7),
        serial_s=flops * 10 ** r.uniform(-3, -0.5),
        sync_s=flops * 10 ** r.uniform(-3.5, -1),
        half_batch=r.choice([0.2, 1, 4]),
        base_bytes=r.uniform(0.3, 1.5) * GB,
    )
    bandwidth = r.uniform(20, 300) * GB
    host = Host(
        bandwidth=bandwidth,
        core_bandwidth=r.uniform(8, 20) * GB,
        l3_bytes=r.choice([16e6, 32e6, 64e6, 256e6]),
        sibling_gain=r.uniform(-0.15, 0.3),
        remote=r.uniform(0.3, 0.8),
        slowdown=r.uniform(0, 0.25),
        start_s=r.uniform(1, 15),
        noise=r.uniform(0.01, 0.05),
        drift=r.uniform(0, 0.03),
        disturbed=r.choice([0, 0.01, 0.04]),
    )
    names = ["bf16", "int8", "fp32"][: r.choice([1, 2, 3])]
    time_of = {"bf16": (1.0, 1.0), "int8": (r.uniform(0.6, 1.3), 0.5), "fp32": (r.uniform(1.2, 3), 2.0)}
    allocators = ("tcmalloc", "jemalloc", "default")[: r.choice([1, 2, 3])]
    runtimes = ("intel", "default")[: r.choice([1, 2])]
    factors = {"tcmalloc": 1.0, "jemalloc": r.uniform(0.96, 1.06), "default": r.uniform(1.0, 1.2), "intel": 0.8}
    space = Space(
        splits=splits_of(topology, Request()),
        batch_sizes=r.choice([(1, 2, 4, 8, 16, 32, 64), (1, 4, 16, 64), (8,)]),
        numbers=tuple(names),
        allocators=allocators,
        runtimes=runtimes,
        memories=("bind", "interleave"),
    )
    return SimulatedMachine(
        topology=topology,
        space=space,
        program=program,
        host=host,
        numbers={name: time_of[name] for name in names},
        factors=factors,
        full_seconds=5.0,
        chance=r,
        phase=r.uniform(0, 6.3),
    )
