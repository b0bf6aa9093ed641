"""Write a decoder of 160 million made up weights (the shape of JackFram/llama-68m, 12 layers) as llama.cpp reads it."""

import sys
from pathlib import Path

import gguf
import numpy

HIDDEN, LAYERS, INNER, HEADS, WORDS = 768, 12, 3072, 12, 32000
random = numpy.random.default_rng(0)
path, kind = Path(sys.argv[1]), gguf.GGMLQuantizationType[sys.argv[2].upper() if len(sys.argv) > 2 else "Q4_0"]
path.parent.mkdir(parents=True, exist_ok=True)
out = gguf.GGUFWriter(path, "llama")
out.add_context_length(2048)
out.add_embedding_length(HIDDEN)
out.add_block_count(LAYERS)
out.add_feed_forward_length(INNER)
out.add_head_count(HEADS)
out.add_head_count_kv(HEADS)
out.add_layer_norm_rms_eps(1e-6)
out.add_vocab_size(WORDS)
# Words as made up as the weights: the three that end and begin texts, every byte, and names of numbers.
words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
words += [f"\u2581w{number}" for number in range(WORDS - len(words))]
out.add_tokenizer_model("llama")
out.add_token_list(words)
out.add_token_scores([-float(place) for place in range(WORDS)])
unknown, control, byte, normal = (gguf.TokenType[name] for name in ("UNKNOWN", "CONTROL", "BYTE", "NORMAL"))
out.add_token_types([unknown, control, control, *[byte] * 256, *[normal] * (WORDS - 259)])
out.add_bos_token_id(1)
out.add_eos_token_id(2)


def add(name, *shape):
    weight = random.normal(0, 0.02, shape).astype("float32") if len(shape) > 1 else numpy.ones(shape, "float32")
    packed = gguf.quants.quantize(weight, kind) if len(shape) > 1 else weight
    out.add_tensor(f"{name}.weight", packed, raw_dtype=kind if len(shape) > 1 else None)


add("token_embd", WORDS, HIDDEN)
add("output_norm", HIDDEN)
add("output", WORDS, HIDDEN)
for layer in range(LAYERS):
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        add(f"blk.{layer}.{name}", HIDDEN, HIDDEN)
    for name in ("ffn_gate", "ffn_up"):
        add(f"blk.{layer}.{name}", INNER, HIDDEN)
    add(f"blk.{layer}.ffn_down", HIDDEN, INNER)
    for name in ("attn_norm", "ffn_norm"):
        add(f"blk.{layer}.{name}", HIDDEN)
out.write_header_to_file()
out.write_kv_data_to_file()
out.write_tensors_to_file()
out.close()
