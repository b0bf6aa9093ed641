"""How the sum of the workers' own rates misleads, shown on a model of a few lines: python benchmarks/naive_sum.py.

Every worker has the same share of the work and a speed of its own; nothing else happens. A worker's rate is its work /
its own time; the true rate is all work / the time until the last has ended. In the second table the workers share a
memory bandwidth that is enough for half of them, and start one after the other: each claims the rate of a time in which
the machine was not yet, or no longer, full.
"""

from __future__ import annotations

import random
import statistics

RUNS = 400
ITEMS = 1000.0


def uneven(workers: int, spread: float, slowest: float = 1.0, seed: int = 0) -> float:
    """Naive sum / true rate where speeds differ.

    Args:
        workers: how many.
        spread: standard deviation of the speeds, as a share of their mean.
        slowest: speed of one of them, as a share of what it would have.
        seed: of the speeds.
    """
    chance = random.Random(seed)
    ratios = []
    for _ in range(RUNS):
        speeds = [max(0.05, chance.gauss(1.0, spread)) for _ in range(workers)]
        speeds[0] *= slowest
        naive = sum(speeds)
        true = ITEMS * workers / max(ITEMS / speed for speed in speeds)
        ratios.append(naive / true)
    return statistics.median(ratios)


def staggered(workers: int, enough_for: float, gap_s: float, alone_s: float = 30.0, step_s: float = 0.01) -> float:
    """Naive sum / what the machine can do with all of them, where they start one after the other.

    Args:
        workers: how many.
        enough_for: workers that the shared bandwidth feeds at full speed.
        gap_s: between two starts.
        alone_s: what one takes alone; half of what it takes beside the others, where bandwidth is for half of them.
        step_s: of the simulation.
    """
    left = [alone_s] * workers
    ended = [0.0] * workers
    time = 0.0
    while any(work > 0 for work in left):
        present = [i for i, work in enumerate(left) if work > 0 and i * gap_s <= time]
        speed = min(1.0, enough_for / len(present)) if present else 0.0
        time += step_s
        for i in present:
            left[i] -= speed * step_s
            ended[i] = time
    naive = sum(1 / (end - i * gap_s) for i, end in enumerate(ended))
    together = workers * min(1.0, enough_for / workers) / alone_s
    return naive / together


def tables() -> str:
    """Both tables as text."""
    lines = ["speeds differ; equal shares of the work        naive sum / true rate"]
    for workers, spread, slowest in ((36, 0.02, 1), (36, 0.05, 1), (36, 0.10, 1), (36, 0.05, 0.5), (6, 0.02, 0.5)):
        one = f", one at {slowest:.0%}" if slowest < 1 else ""
        text = f"{workers} workers, spread {spread:.0%}{one}"
        lines.append(f"  {text:50} {uneven(workers, spread, slowest):.2f}")
    lines.append("8 workers of 60 s, bandwidth for 4, one by one  naive sum / what all together do")
    for gap in (0.0, 1.0, 5.0, 10.0, 20.0):
        lines.append(f"  {f'{gap:g} s apart':50} {staggered(8, 4.0, gap):.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(tables())
