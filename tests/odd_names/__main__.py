"""Run many and report: `python -m tests.odd_names --runs 1000 [--seed 1]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.odd_names.campaign import campaign


def main() -> int:
    """Print what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = campaign(Path(folder), options.runs, options.seed)
    for text in tally.wrong[:20]:
        print(text)
    print(f"{tally.runs} runs, {len(tally.wrong)} wrong")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
