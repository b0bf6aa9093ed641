"""`python -m tests.faults --count 50`: every fault so often, and a table of how the runs ended."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections import Counter

from tests.faults.campaign import FAULTS, RUN_S, Outcome, suffer
from tests.usual_signals import take_usual_signals


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="hits of each fault (default: %(default)s)")
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: %(default)s)")
    parser.add_argument("--share-start", default="no", choices=("no", "imports", "model"), help="what workers share")
    options = parser.parse_args()
    take_usual_signals()
    random.seed(options.seed)
    print("| fault | runs | hit | exit codes | hung | orphans | other problems | median s |")
    print("|---|---|---|---|---|---|---|---|")
    bad = 0
    for name, fault in FAULTS.items():
        if options.only not in name:
            continue
        outcomes: list[Outcome] = []
        while _too_few(outcomes, options.count):
            moment = random.uniform(0.0, (1.0 if fault.when_started else 1.5) * RUN_S)
            outcomes.append(suffer(fault, moment, options.share_start))
        problems = [problem for outcome in outcomes for problem in outcome.problems]
        hung = sum(problem == "it hung" for problem in problems)
        orphans = sum("processes left" in problem for problem in problems)
        codes = ", ".join(f"{code} ({n})" for code, n in sorted(Counter(o.code for o in outcomes).items()))
        seconds = statistics.median(outcome.seconds for outcome in outcomes)
        others = len(problems) - hung - orphans
        hits = sum(outcome.hit for outcome in outcomes)
        print(
            f"| {name} | {len(outcomes)} | {hits} | {codes} | {hung} | {orphans} | {others} | {seconds:.1f} |",
            flush=True,
        )
        for problem, n in Counter(problems).most_common():
            print(f"{name}: {n} times {problem}", file=sys.stderr, flush=True)
        bad += len(problems)
    return 1 if bad else 0


def _too_few(outcomes: list[Outcome], count: int) -> bool:
    """Whether the fault must strike again: so many hits are wanted, as far as it hits at all."""
    hits = sum(outcome.hit for outcome in outcomes)
    return len(outcomes) < count or (0 < hits < count and len(outcomes) < 3 * count)


if __name__ == "__main__":
    sys.exit(main())
