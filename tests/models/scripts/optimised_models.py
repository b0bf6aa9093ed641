"""A script of its own that calls models of many kinds and prints what they answer; run with --auto-ipex and without."""

import json
import os
import sys
from typing import Any

import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
torch.set_num_threads(1)  # a fork after OpenMP has started threads would hang
SMALL: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip
answers: dict[str, Any] = {}


def cnn() -> Any:
    layers = torch.nn
    return layers.Sequential(
        layers.Conv2d(3, 8, 3), layers.BatchNorm2d(8), layers.ReLU(), layers.Flatten(), layers.Linear(8 * 36, 4)
    )


with torch.no_grad():
    bert = BertModel(BertConfig(**SMALL)).eval()
    for shape in ((3, 7), (3, 7), (2, 5), (3, 7), (2, 5)):  # a graph of the first shape meets a second one
        ids = torch.arange(shape[0] * shape[1]).reshape(shape) % 50
        output = bert(input_ids=ids, attention_mask=torch.ones_like(ids))
        answers.setdefault("bert", []).append(output.last_hidden_state.numpy().sum(2).tolist())
    answers["bert's result"] = type(output).__name__
    answers["bert by position"] = bert(ids).pooler_output.sum(1).tolist()

    images = cnn().eval()
    for _ in range(3):
        answers["cnn"] = images(torch.linspace(0, 1, 2 * 3 * 64).reshape(2, 3, 8, 8)).numpy().tolist()

    llama = LlamaForCausalLM(LlamaConfig(**SMALL, num_key_value_heads=2, eos_token_id=49, pad_token_id=0)).eval()
    prompt = torch.randint(3, 49, (2, 6))
    for _ in range(2):
        made = llama.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=5, do_sample=False)
    answers["llama"] = made.tolist()

    traced = torch.jit.freeze(torch.jit.trace(cnn().eval(), torch.ones(1, 3, 8, 8)))
    answers["traced"] = traced(torch.ones(1, 3, 8, 8)).tolist()

trained = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
for _ in range(3):
    loss = (trained(torch.ones(2, 3)) ** 2).mean()
    loss.backward()
    optimizer.step()
answers["trained"] = loss.item()

child = os.fork()
if not child:
    with torch.no_grad():
        same = bert(ids).pooler_output.sum(1).tolist() == answers["bert by position"]
    os._exit(0 if same else 1)
answers["a forked child's code"] = os.waitpid(child, 0)[1]

json.dump(answers, sys.stdout)
