"""A script of its own that calls one model after another; each is forgotten before the next, so each is counted."""

import gc
import sys
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

torch.manual_seed(0)
SMALL: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def net() -> Any:
    return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).eval()


def traced() -> None:
    model = torch.jit.freeze(torch.jit.trace(net(), torch.ones(3, 4)))
    for _ in range(3):
        model(torch.ones(3, 4))  # 2 counted


def scripted() -> None:
    model = torch.jit.script(net())
    for _ in range(3):
        model(torch.ones(5, 4))


def exported() -> None:
    with torch.inference_mode(False):
        model = torch.export.export(net(), (torch.ones(6, 4),)).module()
    for _ in range(3):
        model(torch.ones(6, 4))


def quantised() -> None:
    plain = torch.nn.Sequential(torch.nn.Linear(4, 4)).eval()
    model = torch.ao.quantization.quantize_dynamic(plain, {torch.nn.Linear}, dtype=torch.qint8)[0]
    for _ in range(3):
        model(torch.ones(9, 4))


def mapped() -> None:
    with torch.inference_mode(False):
        model = net()
        for _ in range(3):
            torch.vmap(model)(torch.ones(8, 4))


def classified() -> None:
    model = BertForSequenceClassification(BertConfig(**SMALL)).eval()
    batch = {"input_ids": torch.ones(7, 5, dtype=torch.long), "attention_mask": torch.ones(7, 5, dtype=torch.long)}
    for _ in range(3):
        model(**batch).logits.softmax(-1)


def generated() -> None:
    config = LlamaConfig(**SMALL, num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    model = LlamaForCausalLM(config).eval()
    prompt = torch.randint(3, 50, (4, 6))
    made = 0
    for call in range(3):
        ids = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=9, do_sample=True)
        texts = [row.index(2) + 1 if 2 in row else len(row) for row in ids[:, 6:].tolist()]
        made += sum(texts) if call else 0
    print("generated", made)


def translated() -> None:
    config = T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    model = T5ForConditionalGeneration(config).eval()
    for _ in range(3):
        model.generate(torch.full((2, 5), 7), max_new_tokens=4, min_new_tokens=4, num_beams=2)


with torch.inference_mode():
    for name in sys.argv[1:]:
        globals()[name]()
        gc.collect()
