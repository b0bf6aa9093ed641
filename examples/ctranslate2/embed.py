"""Embed English sentences by CTranslate2 in int8, on as many threads as this worker has cpus."""

import argparse
import itertools
import os
import time
from pathlib import Path

import ctranslate2
import numpy
from tokenizers import Tokenizer

from ipexlaunch import worker

SENTENCES = Path(__file__).parents[1] / "sentences.txt"


def main(model, seconds, batch_size):
    tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
    tokenizer.no_padding()  # CTranslate2 pads a batch itself
    # Without it, and without OMP_NUM_THREADS (which the launcher sets), there is one for each core of the host.
    threads = len(os.sched_getaffinity(0))
    encoder = ctranslate2.Encoder(model, device="cpu", compute_type="int8_float32", intra_threads=threads)
    sentences = sorted(SENTENCES.read_text(encoding="utf-8").splitlines(), key=len)
    tokens = [each.ids for each in tokenizer.encode_batch(sentences)]
    batches = [tokens[start : start + batch_size] for start in range(0, len(tokens), batch_size)]
    for batch in batches:  # the warm-up
        encoder.forward_batch(batch)
    worker.ready()
    end = time.monotonic() + seconds
    for batch in itertools.takewhile(lambda _: time.monotonic() < end, itertools.cycle(batches)):
        vectors = numpy.asarray(encoder.forward_batch(batch).last_hidden_state).mean(1)
        worker.count(items=len(batch), tokens=sum(map(len, batch)))
    print(f"vectors of {vectors.shape[1]} numbers; {worker.finish().items_per_second:.1f} sentences/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the folder that convert.py wrote")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, help="sentences per batch (default: %(default)s)")
    main(**vars(parser.parse_args()))
