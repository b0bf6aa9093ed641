"""A program whose best setting is known: two instances, and a batch of 8; each of its starts leaves a line behind.

Call it with --batch N --log FILE [--fail-at N]. It works until it is ended, or for TUNED_PROGRAM_BATCHES batches.
"""

import itertools
import os
import sys
import time

from ipexlaunch import worker


def value(option: str, otherwise: str) -> str:
    return sys.argv[sys.argv.index(option) + 1] if option in sys.argv else otherwise


def main() -> None:
    batch = int(value("--batch", "1"))
    if os.environ["IPEXLAUNCH_INDEX"] == "0":
        with open(value("--log", os.devnull), "a") as file:
            file.write(f"{os.environ['IPEXLAUNCH_COUNT']} {batch}\n")
    if batch == int(value("--fail-at", "0")):
        print("no memory for a batch of this size")
        sys.exit(5)
    worker.ready()
    batches = int(os.environ.get("TUNED_PROGRAM_BATCHES", "0"))
    for _ in range(batches) if batches else itertools.count():
        time.sleep(0.001 + (0.0 if batch <= 8 else 0.004 * batch))
        worker.count(batch)
    worker.finish()


main()
