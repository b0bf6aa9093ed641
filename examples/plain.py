"""Any Python program can be measured by three calls: here one that compresses a text again and again, without torch."""

import argparse
import lzma
import time
from pathlib import Path

from ipexlaunch import worker

TEXT = Path(__file__).with_name("sentences.txt").read_bytes()


def main(seconds):
    packed = lzma.compress(TEXT)  # the warm-up
    worker.ready()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        packed = lzma.compress(TEXT)
        worker.count(items=1)
    rate = worker.finish().items_per_second
    share = len(packed) / len(TEXT)
    print(f"worker {worker.index} of {worker.count_of_workers}: {rate:.1f} texts/s, packed to {share:.0%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to measure (default: %(default)s)")
    main(parser.parse_args().seconds)
