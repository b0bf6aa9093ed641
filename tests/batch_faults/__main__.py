"""`python -m tests.batch_faults --faults 1000`: jobs under fire until so many faults have struck, and a table."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.batch_faults.torment import torment
from tests.fault_tally import FaultTally
from tests.usual_signals import take_usual_signals


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1000, help="in all (default: %(default)s)")
    parser.add_argument("--each", type=int, default=25, help="faults of one job (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: %(default)s)")
    options = parser.parse_args()
    take_usual_signals()
    random.seed(options.seed)
    tally = FaultTally("launches", "lost, twice, wrong, hung, given up")
    while tally.suffered.total() < options.faults:
        with tempfile.TemporaryDirectory() as folder:
            tally.add(torment(Path(folder), options.each, poison=bool(tally.jobs % 2)))
    return tally.show()


if __name__ == "__main__":
    sys.exit(main())
