"""Embed English sentences by ONNX Runtime, on as many threads as this worker has cpus."""

import argparse
import itertools
import os
import time
from pathlib import Path

import numpy
import onnxruntime
from tokenizers import Tokenizer

from ipexlaunch import worker

SENTENCES = Path(__file__).parents[1] / "sentences.txt"


def main(model, seconds, batch_size):
    tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
    tokenizer.enable_padding()
    options = onnxruntime.SessionOptions()
    # Without it there is a thread for each core of the host, and each pins itself to one: docs/binding.md.
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(f"{model}/model.onnx", options, providers=["CPUExecutionProvider"])
    sentences = sorted(SENTENCES.read_text(encoding="utf-8").splitlines(), key=len)
    batches = []
    for start in range(0, len(sentences), batch_size):
        found = tokenizer.encode_batch(sentences[start : start + batch_size])
        ids, mask = (numpy.array([getattr(each, name) for each in found]) for name in ("ids", "attention_mask"))
        batches.append({"input_ids": ids, "attention_mask": mask})
    for batch in batches:  # the warm-up
        session.run(None, batch)
    worker.ready()
    end = time.monotonic() + seconds
    for batch in itertools.takewhile(lambda _: time.monotonic() < end, itertools.cycle(batches)):
        vectors = session.run(None, batch)[0].mean(1)
        worker.count(items=len(batch["input_ids"]), tokens=int(batch["attention_mask"].sum()))
    print(f"vectors of {vectors.shape[1]} numbers; {worker.finish().items_per_second:.1f} sentences/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the folder that convert.py wrote")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=16, help="sentences per batch (default: %(default)s)")
    main(**vars(parser.parse_args()))
