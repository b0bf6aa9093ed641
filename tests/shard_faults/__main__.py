"""`python -m tests.shard_faults --faults 100`: jobs in shards under fire until so many faults struck; a table."""

from __future__ import annotations

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.several_hosts.lab import missing, three_hosts
from tests.shard_faults.torment import torment
from tests.usual_signals import take_usual_signals

NO_LOCKS = "int flock(int file, int how) { return 0; }\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100, help="in all (default: %(default)s)")
    parser.add_argument("--each", type=int, default=20, help="faults of one job (default: %(default)s)")
    parser.add_argument("--deaths", type=int, default=10, help="of hosts, at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: %(default)s)")
    options = parser.parse_args()
    take_usual_signals()
    random.seed(options.seed)
    suffered: Counter[str] = Counter()
    codes: Counter[int] = Counter()
    problems: list[str] = []
    jobs, deaths = 0, options.deaths
    began = time.monotonic()
    why = missing()
    if why:
        print(f"without hosts: {why}", file=sys.stderr)
    while suffered.total() < options.faults:
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as held:
            folder = Path(name)
            for each in ("lab", "data"):
                (folder / each).mkdir()
            lab = None if why else held.enter_context(three_hosts(folder / "lab"))
            (folder / "nolocks.c").write_text(NO_LOCKS)
            built = subprocess.run(["cc", "-shared", "-fPIC", "-o", "nolocks.so", "nolocks.c"], cwd=folder, check=False)
            locks = bool(jobs % 2) or built.returncode != 0
            environment = {} if locks else {"LD_PRELOAD": str(folder / "nolocks.so")}
            faults = min(options.each, options.faults - suffered.total())
            job = torment(folder / "data", faults, lab, environment, deaths)
            deaths = job.deaths
        jobs += 1
        suffered += job.suffered
        codes += job.codes
        problems += [f"job {jobs}: {problem}" for problem in job.problems]
        print(
            f"job {jobs}{'' if locks else ' without locks'}: {job.suffered.total()} faults, {job.codes.total()} "
            f"attempts, {len(job.problems)} problems, {time.monotonic() - began:.0f} s",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        for problem in job.problems[:5]:
            print(problem, file=sys.stderr, flush=True)
    print("| fault | times |")
    print("|---|---|")
    for fault, times in suffered.most_common():
        print(f"| {fault} | {times} |")
    print(f"\n{suffered.total()} faults in {jobs} jobs and {codes.total()} attempts, {time.monotonic() - began:.0f} s;")
    print(f"exit codes {dict(sorted(codes.items()))}; {len(problems)} problems (lost, twice, wrong, hung)")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
