"""A sentence encoder of BERT's kind as one OpenVINO program, straight from its config.json and weights."""

import json
from pathlib import Path

import numpy as np
import openvino
from openvino import opset15 as op
from safetensors.numpy import load_file


def sentence_encoder(directory):
    """The program: token ids and their mask in, [sentences, length] each; one unit vector per sentence out."""
    config = json.loads(Path(directory, "config.json").read_text(encoding="utf-8"))
    weights = load_file(Path(directory, "model.safetensors"))

    def linear(x, name):
        return op.add(op.matmul(x, weights[f"{name}.weight"], False, True), weights[f"{name}.bias"])

    def normalised(x, name):
        even = op.mvn(x, [-1], normalize_variance=True, eps=config["layer_norm_eps"], eps_mode="inside_sqrt")
        return op.add(op.multiply(even, weights[f"{name}.weight"]), weights[f"{name}.bias"])

    def heads(x):  # [sentences, length, size] to [sentences, head, length, size of a head]
        return op.transpose(op.reshape(x, [0, 0, config["num_attention_heads"], -1], True), [0, 2, 1, 3])

    def layer(x, name):
        query, key, value = (heads(linear(x, f"{name}.attention.self.{part}")) for part in ("query", "key", "value"))
        mixed = op.scaled_dot_product_attention(query, key, value, seen)
        joined = op.reshape(op.transpose(mixed, [0, 2, 1, 3]), [0, 0, -1], True)
        x = op.add(x, linear(joined, f"{name}.attention.output.dense"))
        x = normalised(x, f"{name}.attention.output.LayerNorm")
        wide = op.gelu(linear(x, f"{name}.intermediate.dense"), "erf")
        return normalised(op.add(x, linear(wide, f"{name}.output.dense")), f"{name}.output.LayerNorm")

    ids, mask = (op.parameter([-1, -1], np.int64, name) for name in ("ids", "mask"))
    seen = op.unsqueeze(op.convert(mask, "boolean"), [1, 2])  # the same for every head and every token that looks
    length = op.gather(op.shape_of(ids), 1, 0)
    words = op.gather(weights["embeddings.word_embeddings.weight"], ids, 0)
    places = op.gather(weights["embeddings.position_embeddings.weight"], op.range(0, length, 1, "i64"), 0)
    x = op.add(op.add(words, places), weights["embeddings.token_type_embeddings.weight"][0])
    x = normalised(x, "embeddings.LayerNorm")
    for number in range(config["num_hidden_layers"]):
        x = layer(x, f"encoder.layer.{number}")
    share = op.unsqueeze(op.convert(mask, "f32"), 2)
    mean = op.divide(op.reduce_sum(op.multiply(x, share), 1), op.reduce_sum(share, 1))
    return openvino.Model([op.normalize_l2(mean, [1], 1e-12, "max")], [ids, mask], "sentence_encoder")
