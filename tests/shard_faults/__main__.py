"""`python -m tests.shard_faults --faults 100`: jobs in shards under fire until so many faults struck; a table."""

from __future__ import annotations

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fault_tally import FaultTally
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
    tally = FaultTally("attempts", "lost, twice, wrong, hung")
    deaths, why = options.deaths, missing()
    if why:
        print(f"without hosts: {why}", file=sys.stderr)
    while (left := options.faults - tally.suffered.total()) > 0:
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as held:
            folder = Path(name)
            for each in ("lab", "data"):
                (folder / each).mkdir()
            lab = None if why else held.enter_context(three_hosts(folder / "lab"))
            (folder / "nolocks.c").write_text(NO_LOCKS)
            built = subprocess.run(["cc", "-shared", "-fPIC", "-o", "nolocks.so", "nolocks.c"], cwd=folder, check=False)
            locks = bool(tally.jobs % 2) or built.returncode != 0
            environment = {} if locks else {"LD_PRELOAD": str(folder / "nolocks.so")}
            job = torment(folder / "data", min(options.each, left), lab, environment, deaths)
            deaths = job.deaths
        tally.add(job, "" if locks else " without locks")
    return tally.show()


if __name__ == "__main__":
    sys.exit(main())
