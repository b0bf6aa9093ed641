"""`python -m tests.batch_faults --faults 1000`: jobs under fire until so many faults have struck, and a table."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.batch_faults.torment import torment
from tests.usual_signals import take_usual_signals


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1000, help="in all (default: %(default)s)")
    parser.add_argument("--each", type=int, default=25, help="faults of one job (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: %(default)s)")
    options = parser.parse_args()
    take_usual_signals()
    random.seed(options.seed)
    suffered: Counter[str] = Counter()
    codes: Counter[int] = Counter()
    problems: list[str] = []
    jobs = 0
    began = time.monotonic()
    while suffered.total() < options.faults:
        with tempfile.TemporaryDirectory() as folder:
            job = torment(Path(folder), options.each, poison=bool(jobs % 2))
        jobs += 1
        suffered += job.suffered
        codes += job.codes
        problems += [f"job {jobs}: {problem}" for problem in job.problems]
        print(
            f"job {jobs}: {job.suffered.total()} faults, {job.codes.total()} launches, {len(job.problems)} problems, "
            f"{time.monotonic() - began:.0f} s",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        for problem in job.problems[:5]:
            print(problem, file=sys.stderr, flush=True)
    print("| fault | times |")
    print("|---|---|")
    for name, times in suffered.most_common():
        print(f"| {name} | {times} |")
    print(f"\n{suffered.total()} faults in {jobs} jobs and {codes.total()} launches, {time.monotonic() - began:.0f} s;")
    print(f"exit codes {dict(sorted(codes.items()))}; {len(problems)} problems (lost, twice, wrong, hung, given up)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
