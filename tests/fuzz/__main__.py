"""Run many mutations and report: `python -m tests.fuzz --count 50000 [--seed 1]`; `--only NAME` tries one target."""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz.campaign import fuzz


def main() -> int:
    """Print every exception that is no error for users, with the seed that gives it again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="a target's name, such as try_report")
    options = parser.parse_args()
    begin = time.monotonic()
    results, wrong = fuzz(options.count, options.seed, options.only)
    for line in wrong[:300]:
        print(line)
    for name, number in sorted(results.items()):
        print(f"{name}: {number}")
    print(f"{sum(results.values()) + len(wrong)} tried in {time.monotonic() - begin:.0f} s, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
